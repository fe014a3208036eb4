//! `fwctl counters`: what was counted.

use std::{fmt::Write, thread, time::Duration};

use clap::ValueEnum;
use comfy_table::Cell;

use super::{
    Agent, CliError, expect_response,
    output::{Exit, Output, Tone, bytes, lines, write},
    reader::end_with_reader,
};
use crate::control::protocol::{Counters as Report, Packets, Request};

/// Clears the terminal and goes to its upper left corner (ECMA-48 ED, CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows what was counted, by rule, by reason and by interface.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  fwctl counters --watch\n  fwctl counters --only reasons --json")]
pub(super) struct Counters {
    /// Only this; may be repeated.
    #[arg(long, value_enum, value_name = "SECTION")]
    only: Vec<Section>,
    /// Leave out rules that have decided nothing.
    #[arg(long)]
    nonzero: bool,
    /// Again and again, with what was added since; with --json, one line each time.
    #[arg(long)]
    watch: bool,
    /// Seconds between.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    interval: u64,
}

/// A part of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// By rule.
    Rules,
    /// By reason.
    Reasons,
    /// By interface.
    Interfaces,
}

impl Counters {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let mut before: Option<Report> = None;
        if self.watch {
            end_with_reader();
        }
        loop {
            let report = self.selected(expect_response!(agent, Request::Counters {}, Counters));
            if !self.watch {
                output.print(&report, |output, report| text(output, report, None))?;
                return Ok(Exit::Done);
            }
            if output.is_terminal() && !output.is_json() {
                write(CLEAR)?;
            }
            output.print_one_of_many(&report, |output, report| text(output, report, before.as_ref()))?;
            before = Some(report);
            thread::sleep(Duration::from_secs(self.interval));
        }
    }

    fn selected(&self, mut report: Report) -> Report {
        let wants = |section| self.only.is_empty() || self.only.contains(&section);
        if !wants(Section::Rules) {
            report.rules.clear();
        }
        if !wants(Section::Reasons) {
            report.reasons.clear();
        }
        if !wants(Section::Interfaces) {
            report.interfaces.clear();
        }
        if self.nonzero {
            report.rules.retain(|rule| rule.total.packets > 0);
        }
        report
    }
}

fn text(output: &Output, report: &Report, before: Option<&Report>) -> String {
    [
        rules(output, report, before),
        reasons(output, report, before),
        interfaces(output, report),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("\n")
}

fn rules(output: &Output, report: &Report, before: Option<&Report>) -> Option<String> {
    let mut table = output.table(&[
        "RULE",
        "DIR",
        "ACTION",
        ">PACKETS",
        ">BYTES",
        ">MATCHES",
        ">ADDED",
        "WRITTEN IN",
    ]);
    for rule in &report.rules {
        let old = before.and_then(|before| before.rules.iter().find(|old| old.rule == rule.rule));
        let tone = if rule.action == "allow" {
            Tone::Good
        } else {
            Tone::Bad
        };
        table.add_row([
            Cell::new(&rule.rule),
            Cell::new(&rule.direction),
            output.cell(tone, &rule.action),
            Cell::new(rule.total.packets),
            Cell::new(bytes(rule.total.bytes)),
            Cell::new(rule.matches),
            Cell::new(added(rule.total, old.map(|old| old.total))),
            Cell::new(&rule.origin),
        ]);
    }
    (!report.rules.is_empty()).then(|| lines(&table))
}

fn reasons(output: &Output, report: &Report, before: Option<&Report>) -> Option<String> {
    let mut table = output.table(&[
        "REASON", "HOOK", "VERDICT", ">PACKETS", ">BYTES", ">ADDED", "MEANING",
    ]);
    for reason in &report.reasons {
        let is_same = |old: &&crate::control::protocol::ReasonCounts| {
            old.reason == reason.reason && old.hook == reason.hook
        };
        let old = before.and_then(|before| before.reasons.iter().find(is_same));
        let verdict = if reason.drops {
            output.cell(Tone::Bad, "drop")
        } else {
            output.cell(Tone::Good, "pass")
        };
        table.add_row([
            Cell::new(&reason.reason),
            Cell::new(&reason.hook),
            verdict,
            Cell::new(reason.total.packets),
            Cell::new(bytes(reason.total.bytes)),
            Cell::new(added(reason.total, old.map(|old| old.total))),
            Cell::new(&reason.meaning),
        ]);
    }
    (!report.reasons.is_empty()).then(|| lines(&table))
}

fn interfaces(output: &Output, report: &Report) -> Option<String> {
    let mut table = output.table(&[
        "INTERFACE",
        "HOOK",
        ">PASSED",
        ">",
        ">DROPPED",
        ">",
        ">REJECTED",
        ">",
    ]);
    for row in &report.interfaces {
        let mut cells = vec![row.interface.clone(), row.hook.clone()];
        for total in [row.passed, row.dropped, row.rejected] {
            cells.push(total.packets.to_string());
            cells.push(bytes(total.bytes));
        }
        table.add_row(cells);
    }
    (!report.interfaces.is_empty()).then(|| lines(&table))
}

/// Packets since the last look; nothing at the first.
fn added(now: Packets, before: Option<Packets>) -> String {
    let Some(before) = before else {
        return String::new();
    };
    let mut text = String::new();
    if now.packets > before.packets {
        // Writing to a string cannot fail.
        let _ = write!(text, "+{}", now.packets - before.packets);
    }
    text
}
