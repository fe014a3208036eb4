//! Prometheus' node exporter, one on each server.

use anyhow::Result;

use crate::lab::{daemon, network::Host, state::State};

/// Starts one.
pub(crate) fn start(state: &mut State, host: Host) -> Result<()> {
    let folder = state.folder(host.name)?;
    let mut command = host.namespace().command("prometheus-node-exporter");
    // Its own defaults read all of the machine; a few collectors do for a figure to be scraped.
    command.args(["--web.listen-address=:9100", "--collector.disable-defaults"]);
    command.args(["--collector.loadavg", "--collector.netdev"]);
    daemon::start(
        state,
        &format!("{}/node-exporter", host.name),
        &folder,
        &mut command,
    )
}

/// Waits until it takes connections.
pub(crate) fn wait(host: Host) -> Result<()> {
    daemon::wait_for_port("the node exporter", host.namespace(), "127.0.0.1:9100")
}
