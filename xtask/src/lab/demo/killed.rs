//! A killed agent leaves filtering in force; one that is started again takes over what it finds.

use anyhow::Result;
use nix::sys::signal::Signal;

use super::report::{Decision, Report, Row};
use crate::lab::{
    Lab,
    agent::Agent,
    counters::Counters,
    network::{ATTACKER, CLIENT, DB, Host, LB, SERVERS, WEB},
    probe::{Probe, Reach},
    web_client::Client,
};

/// On each server, what is dropped while its agent is dead, and by which rule.
const DROPPED: [(Host, Probe, &str); 3] = [
    (LB, Probe::Tcp(22), "(default in)"),
    (WEB, Probe::Tcp(443), "around-the-lb"),
    (DB, Probe::Tcp(3306), "database-probes"),
];

/// Kills all three, tries what is allowed and what is not, and starts them again.
pub(crate) fn rows(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let agents = SERVERS.map(Agent::of);
    let mut before = Vec::new();
    for agent in &agents {
        before.push((agent.counters()?, agent.generation()?));
        agent.end(&mut lab.state, Signal::SIGKILL)?;
    }
    let customer = Client {
        from: CLIENT,
        authority: lab.authority.certificate(),
    };
    for address in LB.addresses() {
        let page = customer.get("https", address, "/")?;
        let tried = format!("client fetches a page from lb {address}, all agents killed");
        report.add(Row::new(tried, "200", page.status.to_string()));
    }
    for (host, probe, _) in DROPPED {
        for address in host.addresses() {
            let seen = probe.send(ATTACKER, address)?;
            let tried = format!("attacker to {} {address}, {probe}, all agents killed", host.name);
            report.add(Row::new(tried, Reach::Silence.to_string(), seen.to_string()));
        }
    }
    for agent in &agents {
        agent.start(&mut lab.state)?;
    }
    for ((agent, before), (host, _, rule)) in agents.iter().zip(before).zip(DROPPED) {
        agent.wait(&lab.state)?;
        debug_assert_eq!(agent.host, host);
        report.add(taken_over(agent, &before, rule)?);
    }
    Ok(())
}

/// The same judgement is in force, no counter is lower, and what was dropped meanwhile has been counted.
fn taken_over(agent: &Agent, (counters, generation): &(Counters, u64), rule: &str) -> Result<Row> {
    let after = agent.counters()?;
    let (rise, expected) = (
        after.of(rule) - counters.of(rule),
        agent.host.addresses().len() as u64,
    );
    let lower = after.lower_than(counters);
    let seen = match agent.generation()? {
        now if now != *generation => format!("generation {now} instead of {generation}"),
        _ if !lower.is_empty() => format!("lower counters: {}", lower.join(", ")),
        _ => "taken over".to_owned(),
    };
    let name = agent.host.name;
    Ok(Row::new(
        format!("{name}'s agent is started again: same generation, counters go on"),
        "taken over",
        seen,
    )
    .decided(Decision::new(
        format!("{name}: {rule} ({rise} while it was dead)"),
        rise == expected,
    )))
}
