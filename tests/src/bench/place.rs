//! A network of one thread.

use std::process::Command;

use firewall_agent::dataplane::isolation;

use crate::{mounts, netns::output};

/// Moves the calling thread for good into a network namespace without a name, and where it may pin.
pub(super) fn enter() {
    mounts::enter();
    isolation::enter_network().expect("root may make namespaces");
    for arguments in [
        "link add eth0 type veth peer name eth1",
        "link add other0 type veth peer name other1",
        "tuntap add tun0 mode tun",
    ] {
        output(Command::new("ip").args(arguments.split_whitespace())).expect("interfaces");
    }
}
