//! Unloading leaves nothing behind.

use anyhow::Result;
use nix::sys::signal::Signal;

use super::report::{Decision, Report, Row};
use crate::{
    lab::{
        Lab,
        agent::Agent,
        network::{Host, SERVERS},
    },
    process,
};

/// Ends and unloads each agent.
pub(crate) fn rows(lab: &mut Lab, report: &mut Report) -> Result<()> {
    for agent in SERVERS.map(Agent::of) {
        let filtered = attached(agent.host)?;
        agent.end(&mut lab.state, Signal::SIGTERM)?;
        let stopped = attached(agent.host)?;
        let said = agent.unload()?;
        let seen = [filtered, stopped, attached(agent.host)?, pins(&agent)];
        report.add(
            Row::new(
                format!("{}: agent running, stopped, unloaded", agent.host.name),
                "XDP on eth0, XDP on eth0, no XDP or tc program, no pins",
                seen.join(", "),
            )
            .decided(Decision::noted(said.lines().next().unwrap_or_default())),
        );
    }
    Ok(())
}

/// What `ip` and `tc` show at a server's interface.
fn attached(host: Host) -> Result<String> {
    let link = process::output(
        host.namespace()
            .command("ip")
            .args(["-o", "link", "show", "dev", "eth0"]),
    )?;
    let qdiscs = process::output(
        host.namespace()
            .command("tc")
            .args(["qdisc", "show", "dev", "eth0"]),
    )?;
    Ok(match (link.contains("xdp"), qdiscs.contains("clsact")) {
        (true, _) => "XDP on eth0",
        (false, true) => "clsact on eth0",
        (false, false) => "no XDP or tc program",
    }
    .to_owned())
}

fn pins(agent: &Agent) -> String {
    let pins = agent.pins();
    if pins.exists() {
        format!("pins in {}", pins.display())
    } else {
        "no pins".to_owned()
    }
}
