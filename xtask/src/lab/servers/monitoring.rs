//! Prometheus, scraping agents, node exporters and HAProxy across the firewalls.

use anyhow::Result;

use super::write;
use crate::lab::{
    daemon,
    network::{DB, Host, LB, MONITOR, WEB},
    state::State,
};

const CONFIGURATION: &str = include_str!("../files/prometheus.yml");

/// Starts it.
pub(crate) fn start(state: &mut State) -> Result<()> {
    let folder = state.folder(MONITOR.name)?;
    let configuration = folder.join("prometheus.yml");
    let values = [
        ("firewall", targets(&[LB, WEB, DB], 9464)),
        ("node", targets(&[LB, WEB, DB], 9100)),
        ("haproxy", targets(&[LB], 8405)),
    ];
    write(
        &configuration,
        CONFIGURATION,
        &values.each_ref().map(|(name, value)| (*name, value.as_str())),
    )?;
    let mut command = MONITOR.namespace().command("prometheus");
    command.arg(format!("--config.file={}", configuration.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()));
    command.args(["--web.listen-address=127.0.0.1:9090", "--log.level=warn"]);
    daemon::start(state, "monitor/prometheus", &folder, &mut command)
}

/// Waits until it takes connections.
pub(crate) fn wait() -> Result<()> {
    daemon::wait_for_port("Prometheus", MONITOR.namespace(), "127.0.0.1:9090")
}

fn targets(hosts: &[Host], port: u16) -> String {
    let quoted = hosts.iter().flat_map(|host| {
        [
            format!("\"{}:{port}\"", host.v4),
            format!("\"[{}]:{port}\"", host.v6),
        ]
    });
    quoted.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_both_families() {
        assert_eq!(targets(&[LB], 8405), "\"10.77.1.10:8405\", \"[fd77:1::10]:8405\"");
    }
}
