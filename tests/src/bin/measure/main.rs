//! Measures the firewall beside its peers. `cargo xtask bench` builds what it wants and runs it.
//!
//! Every figure is a median of rounds in which all candidates take turns, each on the same packets in the same order.
//! Programs are measured by the kernel's own time (`duration` of `BPF_PROG_TEST_RUN`), net of an empty program behind
//! the same shim; frames over veth by the time of the receiver's processor.
//!
//! Everything that a run makes (network namespaces, mounts, pinned programs) belongs to the process and goes with it,
//! however it ends.

mod agent;
mod bpfilter;
mod case;
mod chase;
mod firewall;
mod guard;
mod map_memory;
mod pair;
mod peers;
mod plain_rule;
mod policies;
mod prefixes;
mod processor;
mod remotes;
mod report;
mod results;
mod rounds;
mod rows;
mod shim;
mod tcp;
mod wire;
mod world;

use std::{fs::File, path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use clap::Parser;

use crate::{case::not_measured, report::Report, rounds::Effort};

/// Measures the firewall beside its peers.
#[derive(Parser)]
struct Arguments {
    /// The object with the shim and what is compared with.
    object: PathBuf,
    /// The directory with `firewall-agent` and `fwctl` as they are installed; without it, rows that run them are left out.
    #[arg(long, value_name = "DIRECTORY")]
    binaries: Option<PathBuf>,
    /// Fewer rounds and sizes, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these rows.
    #[arg(long, value_name = "ROW,…", value_delimiter = ',')]
    only: Vec<u8>,
    /// Writes the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What all rows want.
struct Bench {
    /// The object with the shim and what is compared with.
    object: Vec<u8>,
    /// The directory of `firewall-agent` and `fwctl`.
    binaries: Option<PathBuf>,
    effort: Effort,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let object = std::fs::read(&arguments.object)
        .with_context(|| format!("cannot read {}", arguments.object.display()))?;
    let json = arguments.json.as_ref().map(File::create).transpose()?;
    world::enter()?;
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let bench = Bench {
        object,
        binaries: arguments.binaries,
        effort,
    };
    let mut report = Report::default();
    report.results.machine = world::machine();
    report.results.peers = peers::versions();
    report.results.rounds = effort.rounds;
    let mut left = Vec::new();
    for topic in rows::TOPICS {
        let wanted = |row: &u8| arguments.only.contains(row);
        if !arguments.only.is_empty() && !topic.rows.iter().any(wanted) {
            continue;
        }
        // Who names a row wants all of it.
        if effort.quick && !topic.quick && arguments.only.is_empty() {
            left.push(topic.name);
            continue;
        }
        let start = Instant::now();
        eprintln!("{}", topic.name);
        if let Err(error) = (topic.measure)(&bench, &mut report) {
            eprintln!("{}: {error:#}", topic.name);
            for row in topic.rows {
                report.add(*row, not_measured(topic.name, &error));
            }
        }
        eprintln!("{}: {:.0} s", topic.name, start.elapsed().as_secs_f64());
    }
    println!("{}", report.table());
    println!("* a figure of elsewhere, scaled by what xdp-filter took there and here");
    for note in report.notes() {
        println!("{note}");
    }
    if !left.is_empty() {
        println!("left to a run without --quick: {}", left.join(", "));
    }
    if let Some(json) = json {
        serde_json::to_writer_pretty(json, &report.results)?;
    }
    Ok(())
}
