//! An SSH server on each server (dropbear, which brings no service with it), for the management network.
//!
//! Only whoever holds the lab's own key can log in, as root: the server sees another home directory for root than this
//! machine's, since that is where it looks for keys.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use nix::unistd::{Uid, User};

use super::text;
use crate::{
    lab::{
        daemon,
        network::{ADMIN, Host},
        state::State,
    },
    process,
};

/// Puts the directory `$0` in the place of `$1`, in a mount namespace of its own, and becomes what follows.
const BEHIND_ANOTHER_HOME: &str = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
const HOST_KEY: &str = "host-key";

/// Starts one, with a host key made for it, open to the administrator's key.
pub(crate) fn start(state: &mut State, host: Host) -> Result<()> {
    let folder = state.folder(host.name)?;
    let home = folder.join("home");
    fs::create_dir_all(home.join(".ssh"))?;
    new_key(&home.join(HOST_KEY))?;
    let authorized = home.join(".ssh/authorized_keys");
    fs::write(&authorized, public_key(&administrators_key(state)?)?)?;
    for path in [&home, &home.join(".ssh"), &authorized] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    let root = User::from_uid(Uid::from_raw(0))
        .map_err(io::Error::from)?
        .context("this machine has no root")?;
    let mut command = host.namespace().command("unshare");
    command.args(["--mount", "--", "sh", "-c", BEHIND_ANOTHER_HOME]);
    command.arg(&home).arg(&root.dir);
    // In the foreground, log to stderr, no passwords.
    command.args(["dropbear", "-F", "-E", "-s", "-p", "22"]);
    command.args(["-r", &text(&root.dir.join(HOST_KEY))]);
    command.args(["-P", &text(&root.dir.join("ssh.pid"))]);
    daemon::start(state, &format!("{}/ssh", host.name), &folder, &mut command)
}

/// Waits until it takes connections.
pub(crate) fn wait(host: Host) -> Result<()> {
    daemon::wait_for_port("SSH", host.namespace(), "127.0.0.1:22")
}

/// The key of the one who may log in everywhere, made when it is first asked for.
pub(crate) fn administrators_key(state: &State) -> Result<PathBuf> {
    let key = state.folder(ADMIN.name)?.join("ssh-key");
    if !key.exists() {
        new_key(&key)?;
    }
    Ok(key)
}

fn new_key(path: &Path) -> Result<()> {
    process::output(
        Command::new("dropbearkey")
            .args(["-t", "ed25519", "-f"])
            .arg(path),
    )?;
    Ok(())
}

/// The one line that `authorized_keys` wants.
fn public_key(key: &Path) -> Result<String> {
    let text = process::output(Command::new("dropbearkey").arg("-y").arg("-f").arg(key))?;
    let line = text.lines().find(|line| line.starts_with("ssh-"));
    Ok(line.context("dropbearkey printed no public key")?.to_owned() + "\n")
}
