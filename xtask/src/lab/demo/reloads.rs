//! Reloads during a download lose nothing.

use std::{fs, net::IpAddr, path::PathBuf};

use anyhow::Result;

use super::report::{Decision, Report, Row};
use crate::lab::{
    Lab,
    agent::Agent,
    network::{CLIENT, Host, LB, WEB},
    servers::web,
    web_client::{COMPLETE, Client},
};

/// The servers that the download passes.
const ON_THE_WAY: [Host; 2] = [LB, WEB];
/// A download of 16 MiB takes about four seconds at this rate.
const BYTES_PER_SECOND: u32 = 4 << 20;
/// Fewer reloads would not say much. The first ones take seconds: each fills a slot for the first time, for which the
/// kernel verifies programs.
const AT_LEAST: u32 = 12;

/// One row for each IP version.
pub(crate) fn rows(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut policies = Policies {
        agents: ON_THE_WAY.map(Agent::of),
        reloads: 0,
    };
    for address in LB.addresses() {
        report.add(row(lab, address, &mut policies)?);
    }
    policies.restore()
}

fn row(lab: &Lab, address: IpAddr, policies: &mut Policies) -> Result<Row> {
    let client = Client {
        from: CLIENT,
        authority: lab.authority.certificate(),
    };
    let (lost, generations, before) = (policies.lost()?, policies.generations()?, policies.reloads);
    let mut seen = COMPLETE;
    let mut downloads = 0;
    while policies.reloads - before < AT_LEAST && seen == COMPLETE {
        let file = lab.state.folder(CLIENT.name)?.join("reloads");
        let mut download = client.download(address, "/download/file", file, BYTES_PER_SECOND)?;
        while download.is_running()? {
            policies.reload()?;
        }
        seen = download.finish(&web::download(&lab.state)?)?;
        downloads += 1;
    }
    let reloads = policies.reloads - before;
    let lost = policies.lost()? - lost;
    let generations = policies.generations()? - generations;
    let expected = u64::from(reloads) * ON_THE_WAY.len() as u64;
    Ok(Row::new(
        format!(
            "client downloads 16 MiB from lb {address}, {downloads} times, while new policies are put in \
             force on lb and web {reloads} times"
        ),
        COMPLETE,
        seen,
    )
    .decided(Decision::new(
        format!("{generations} generations of {expected}, {lost} packets dropped"),
        lost == 0 && generations == expected,
    )))
}

/// The policies of the servers on the way, which change all the time.
struct Policies {
    agents: [Agent; 2],
    reloads: u32,
}

impl Policies {
    /// Puts another policy in force on each server: a rule of the host's own layer is another one each time.
    fn reload(&mut self) -> Result<()> {
        self.reloads += 1;
        let number = self.reloads;
        for agent in &self.agents {
            let text = format!(
                "layer = \"host {}\"\n\n[[rule]]\nname = \"reload\"\nallow = \"tcp/{}\"\nfrom = \"192.0.2.7\"\n",
                agent.host.inventory_name(),
                10_000 + number
            );
            fs::write(host_layer(agent), text)?;
            agent.fwctl(&["reload"])?;
        }
        Ok(())
    }

    /// Puts the shipped policies in force again.
    fn restore(&self) -> Result<()> {
        for agent in &self.agents {
            fs::remove_file(host_layer(agent))?;
            agent.fwctl(&["reload"])?;
        }
        Ok(())
    }

    fn lost(&self) -> Result<u64> {
        self.agents.iter().map(|agent| Ok(agent.counters()?.lost())).sum()
    }

    fn generations(&self) -> Result<u64> {
        self.agents.iter().map(Agent::generation).sum()
    }
}

fn host_layer(agent: &Agent) -> PathBuf {
    agent.policy().join("host.toml")
}
