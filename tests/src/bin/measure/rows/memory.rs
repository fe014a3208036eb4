//! Memory of the agent and of the kernel's maps, and the agent's time while nothing happens.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    Bench,
    agent::Agent,
    case::missing,
    plain_rule::drop_rules,
    report::Report,
    results::{Case, Figure, Unit},
};

/// Bytes of a mebibyte.
const MEBIBYTE: f64 = 1_048_576.0;

/// Rules of an agent, addresses in its block list, most of its own memory and of the kernel's in mebibytes.
const CASES: [(u16, u32, Option<f64>, Option<f64>); 3] = [
    (100, 0, Some(16.0), None),
    (10_000, 1_000_000, Some(64.0), Some(256.0)),
    (50_000, 0, None, Some(1024.0)),
];

/// Each number of rules.
#[expect(
    clippy::unnecessary_wraps,
    reason = "all rows are measured by functions of one type"
)]
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    for (rules, listed, resident, maps) in CASES {
        if rules > 10_000 && bench.effort.quick {
            continue;
        }
        eprintln!("  {rules} rules");
        let figures = of_rules(bench, rules, listed);
        for (what, limit) in [("agent", resident), ("kernel maps", maps)] {
            let Some(limit) = limit else { continue };
            let name = if listed == 0 {
                format!("{what}, {rules} rules")
            } else {
                format!("{what}, {rules} rules, {listed} addresses")
            };
            let case = match &figures {
                Ok((agent, kernel)) => {
                    let bytes = if what == "agent" { *agent } else { *kernel };
                    Case::new(name, Unit::Mebibytes).ours(mebibytes(bytes))
                }
                Err(error) => missing(&name, Unit::Mebibytes, error),
            };
            report.add(13, case.at_most(limit));
        }
    }
    eprintln!("  idle");
    let idle = match idle(bench) {
        Ok(percent) => Case::new("agent, idle", Unit::Percent).ours(Figure::of(vec![percent])),
        Err(error) => missing("agent, idle", Unit::Percent, &error),
    };
    report.add(13, idle.at_most(0.2));
    Ok(())
}

fn mebibytes(bytes: u64) -> Figure {
    #[expect(clippy::cast_precision_loss, reason = "memory has less than 2^52 bytes")]
    Figure::of(vec![bytes as f64 / MEBIBYTE])
}

fn start(bench: &Bench, rules: u16, listed: u32) -> Result<Agent> {
    let binaries = bench.binaries.as_ref();
    let binaries = binaries.context("no build of the agent was given (--binaries)")?;
    let agent = Agent::start(binaries, &drop_rules(rules), listed)?;
    agent.calm_down()?;
    Ok(agent)
}

/// Bytes of the agent, and of the kernel's maps.
fn of_rules(bench: &Bench, rules: u16, listed: u32) -> Result<(u64, u64)> {
    let agent = start(bench, rules, listed)?;
    Ok((agent.resident_bytes()?, agent.map_bytes()?))
}

/// Percent of a processor.
fn idle(bench: &Bench) -> Result<f64> {
    let agent = start(bench, 0, 0)?;
    let span = Duration::from_secs(bench.effort.either(20, 10));
    let (before, since) = (agent.processor_seconds()?, Instant::now());
    thread::sleep(span);
    Ok((agent.processor_seconds()? - before) / since.elapsed().as_secs_f64() * 100.0)
}
