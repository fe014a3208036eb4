//! An SSH server on each server (dropbear, which brings no service with it), for the management network.
//!
//! Nobody can log in: whoever sees its greeting has reached it, which is all that a firewall decides.

use std::process::Command;

use anyhow::Result;

use super::text;
use crate::{
    lab::{daemon, network::Host, state::State},
    process,
};

/// Starts one, with a host key made for it.
pub(crate) fn start(state: &mut State, host: Host) -> Result<()> {
    let folder = state.folder(host.name)?;
    let key = folder.join("ssh-host-key");
    process::output(
        Command::new("dropbearkey")
            .args(["-t", "ed25519", "-f"])
            .arg(&key),
    )?;
    let mut command = host.namespace().command("dropbear");
    // In the foreground, log to stderr, no passwords.
    command.args([
        "-F",
        "-E",
        "-s",
        "-p",
        "22",
        "-r",
        &text(&key),
        "-P",
        &text(&folder.join("ssh.pid")),
    ]);
    daemon::start(state, &format!("{}/ssh", host.name), &folder, &mut command)
}

/// Waits until it takes connections.
pub(crate) fn wait(host: Host) -> Result<()> {
    daemon::wait_for_port("SSH", host.namespace(), "127.0.0.1:22")
}
