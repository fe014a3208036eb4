//! Services that nobody should need: what a stolen server would call home to, and what a forgotten test leaves open.

use std::fs;

use anyhow::Result;

use crate::lab::{
    daemon,
    network::{ATTACKER, CLIENT, Host, WEB},
    state::State,
};

const PROGRAM: &str = include_str!("../files/echo.py");
/// A port outside that servers are not to reach; HTTPS, so that no simple filter would stand in the way.
pub(crate) const OUTSIDE: u16 = 443;
/// A port outside for data hidden in questions to a name server.
pub(crate) const TUNNEL: u16 = 53;
/// A port of the web server that the shipped policy does not open.
pub(crate) const FORGOTTEN: u16 = 8080;

/// Where they run, on which ports.
const PLACES: [(Host, &[u16]); 3] = [
    (CLIENT, &[OUTSIDE, TUNNEL]),
    (ATTACKER, &[OUTSIDE, TUNNEL]),
    (WEB, &[FORGOTTEN]),
];

/// Starts them.
pub(crate) fn start(state: &mut State) -> Result<()> {
    for (host, ports) in PLACES {
        let folder = state.folder(host.name)?;
        let program = folder.join("echo.py");
        fs::write(&program, PROGRAM)?;
        let mut command = host.namespace().command("/usr/bin/python3");
        command.arg(&program).args(ports.iter().map(u16::to_string));
        daemon::start(state, &format!("{}/echo", host.name), &folder, &mut command)?;
    }
    Ok(())
}

/// Waits until they take connections.
pub(crate) fn wait() -> Result<()> {
    for (host, ports) in PLACES {
        for port in ports {
            daemon::wait_for_port("the echo service", host.namespace(), &format!("127.0.0.1:{port}"))?;
        }
    }
    Ok(())
}
