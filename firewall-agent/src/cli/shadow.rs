//! `fwctl shadow`: what a candidate would make of live traffic, without enforcing it.

use std::{fmt::Write, path::PathBuf};

use comfy_table::Cell;

use super::{
    Agent, CliError,
    apply::files,
    expect_response,
    output::{Exit, Output, Tone, lines, plural},
    span::Span,
};
use crate::control::protocol::{FlowGroup, Request, Shadow as Wanted, ShadowReport};

const EXAMPLES: &str = "\
The agent asks the candidate about every live connection and about dropped packets as far as they are logged; packets are judged by the policy in force as before. Exit code 1 where something that passes would have been kept out, so that `fwctl shadow && fwctl apply` applies after a clean run only.

Examples:
  fwctl shadow new/web.toml --for 60s
  fwctl shadow --for 30s --every 10 --json | jq .kept_out";

/// Watches live traffic for a while and says what another policy would have let in and kept out; enforces nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Shadow {
    /// Files that take the places of the policy files of the same names, or are new; the policy files as they are on
    /// disk where none is named.
    files: Vec<PathBuf>,
    /// How long to watch, at most 90s.
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    time: Span,
    /// Ask about every so many of the live connections only.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
}

impl Shadow {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let seconds = self.time.seconds();
        if output.is_terminal() && !output.is_json() {
            eprintln!("watching for {seconds} s …");
        }
        let request = Request::Shadow(Wanted {
            files: files::read(&self.files)?,
            seconds,
            every: self.every,
        });
        let report = expect_response!(agent, request, Shadow);
        output.print(&*report, text)?;
        Ok(if report.clean { Exit::Done } else { Exit::No })
    }
}

fn text(output: &Output, report: &ShadowReport) -> String {
    let mut table = output.table(&["WOULD DECIDE", ">CONNECTIONS", ">NEWLY LET IN", ">NEWLY KEPT OUT"]);
    for rule in &report.rules {
        table.add_row([
            Cell::new(&rule.decider),
            Cell::new(rule.connections),
            Cell::new(rule.newly_let_in),
            Cell::new(rule.newly_kept_out),
        ]);
    }
    let mut text = lines(&table);
    for (tone, word, groups) in [
        (Tone::Bad, "would keep out", &report.kept_out),
        (Tone::Doubtful, "would let in", &report.let_in),
    ] {
        for group in groups {
            text.push_str(&difference(output, tone, word, group));
        }
    }
    let (passed, dropped) = (plural(report.passed, "live connection"), report.dropped);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "asked about {passed} and {dropped} that were dropped and logged, in {} s",
        report.seconds
    );
    if report.left_out + report.events_lost > 0 {
        let (left_out, lost) = (report.left_out, report.events_lost);
        let _ = writeln!(text, "not asked about: {left_out} connections, {lost} log events");
    }
    text
}

fn difference(output: &Output, tone: Tone, word: &str, group: &FlowGroup) -> String {
    format!(
        "{} {} {}: {} → {}; such as {}\n",
        output.paint(tone, word),
        group.flows,
        group.service,
        group.now,
        group.then,
        group.samples.join(", ")
    )
}
