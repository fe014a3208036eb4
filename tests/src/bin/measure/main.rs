//! Measures the programs in nanoseconds a packet, beside programs that do nothing and the usual design of a flow
//! table. `cargo xtask bench` builds the object that it wants and runs it.
//!
//! Every figure is a median of rounds in which all candidates take turns, each on the same packets in the same order.
//! The time is the kernel's own (`duration` of `BPF_PROG_TEST_RUN`), net of an empty program behind the same shim.

mod firewall;
mod live;
mod report;
mod rounds;
mod rules;
mod shim;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

use crate::{report::Report, rounds::Effort};

/// Measures the firewall's programs.
#[derive(Parser)]
struct Arguments {
    /// The object with the shim and what is compared with.
    object: PathBuf,
    /// Fewer rounds and sizes, for a first look.
    #[arg(long)]
    quick: bool,
    /// Writes the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let object = std::fs::read(&arguments.object)
        .with_context(|| format!("cannot read {}", arguments.object.display()))?;
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let mut report = Report::default();
    live::measure(&object, effort, &mut report)?;
    rules::measure(&object, effort, &mut report)?;
    println!("{}", report.table());
    if let Some(path) = arguments.json {
        std::fs::write(&path, report.json()?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
