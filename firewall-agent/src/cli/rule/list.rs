//! `fwctl rule list`.

use std::fmt::Write;

use comfy_table::Cell;
use jiff::Timestamp;

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output, Tone, bytes, duration, lines},
    },
    control::protocol::{Request, RuleSummary, Rules},
};

/// Lists the rules in force, in the order in which they are tried.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  fwctl rule list\n  fwctl rule list --json | jq -r '.rules[].name'")]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let Self {} = self;
        let rules = expect_response!(agent, Request::RuleList {}, Rules);
        output.print(&rules, text)?;
        Ok(Exit::Done)
    }
}

fn text(output: &Output, rules: &Rules) -> String {
    let mut text = table(output, &rules.rules);
    let [incoming, outgoing, forwarded] = &rules.defaults;
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\nwhere no rule matches: in {}, out {}, forward {}",
        action(output, incoming),
        action(output, outgoing),
        action(output, forwarded)
    );
    for rule in &rules.rules {
        if let Some(ends) = ends(rule.until, rule.seconds_left) {
            let _ = writeln!(
                text,
                "{}: {} {ends}",
                output.paint(Tone::Doubtful, "timed"),
                rule.name
            );
        }
    }
    for rule in &rules.disabled {
        let ends = ends(rule.until, rule.seconds_left);
        let _ = writeln!(
            text,
            "{}: {} ({}){}",
            output.paint(Tone::Doubtful, "disabled"),
            rule.name,
            rule.origin,
            ends.map(|ends| format!(" {ends}")).unwrap_or_default()
        );
    }
    text
}

/// When a rule ends that does so by itself.
pub(super) fn ends(until: Option<Timestamp>, seconds_left: Option<u64>) -> Option<String> {
    let (until, left) = until.zip(seconds_left)?;
    Some(if left == 0 {
        format!("has ended at {until:.0}")
    } else {
        format!("ends in {}, at {until:.0}", duration(left))
    })
}

/// Rules in a table.
pub(super) fn table(output: &Output, rules: &[RuleSummary]) -> String {
    let mut table = output.table(&[
        "RULE",
        "DIR",
        "ACTION",
        "WHAT",
        "FROM",
        "TO",
        ">PACKETS",
        ">BYTES",
        "WRITTEN IN",
    ]);
    for rule in rules {
        table.add_row([
            Cell::new(&rule.name),
            Cell::new(&rule.direction),
            output.cell(tone(&rule.action), &rule.action),
            Cell::new(&rule.what),
            Cell::new(&rule.from),
            Cell::new(&rule.to),
            Cell::new(rule.total.packets),
            Cell::new(bytes(rule.total.bytes)),
            Cell::new(&rule.origin),
        ]);
    }
    lines(&table)
}

fn action(output: &Output, action: &str) -> String {
    output.paint(tone(action), action)
}

fn tone(action: &str) -> Tone {
    if action == "allow" { Tone::Good } else { Tone::Bad }
}
