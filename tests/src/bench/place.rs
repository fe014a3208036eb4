//! Namespaces of one thread.

use std::{fs, process::Command};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::netns::output;

/// A directory of every system that may be covered: only the thread sees it.
const ROOT: &str = "/mnt";
const BPFFS: &str = "/mnt/bpf";
/// Where to pin.
pub(super) const PINS: &str = "/mnt/bpf/agent";
/// Where state may lie.
pub(super) const STATE: &str = "/mnt/state";

/// Moves the calling thread for good into a network namespace without a name, and into a mount namespace with a BPF
/// file system in it. Threads and processes that it starts are there, too.
pub(super) fn enter() {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("root may make namespaces");
    let (none, no_flags) = (None::<&str>, MsFlags::empty());
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts of one's own");
    mount(Some("tmpfs"), ROOT, Some("tmpfs"), no_flags, none).expect("a file system in memory");
    for directory in [BPFFS, STATE] {
        fs::create_dir(directory).expect("an empty file system");
    }
    mount(Some("bpf"), BPFFS, Some("bpf"), no_flags, none).expect("a BPF file system");
    for arguments in [
        "link add eth0 type veth peer name eth1",
        "link add other0 type veth peer name other1",
        "tuntap add tun0 mode tun",
    ] {
        output(Command::new("ip").args(arguments.split_whitespace())).expect("interfaces");
    }
}
