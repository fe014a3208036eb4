//! What a replay prints.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::Totals;
use crate::{
    cli::{
        CliError,
        output::{Output, Tone, lines, plural, write},
    },
    replay::{Outcome, Replayed, Unusable},
    trial::verdict_name,
};

/// Text is written out when so much has gathered.
const CHUNK_BYTES: usize = 64 << 10;

/// A packet and its verdict.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Judgement {
    number: u64,
    /// Seconds since the first packet.
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    packet: String,
    #[serde(flatten)]
    ruling: Ruling,
    /// Its end was not captured, which no verdict depends on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut_behind_headers: bool,
}

/// What was decided, or why nothing was.
#[derive(Debug, Serialize, JsonSchema)]
struct Ruling {
    /// `pass`, `drop`, `reject`, or `none`.
    verdict: &'static str,
    /// Why; where nothing was decided `cut`, `elsewhere`, `link` or `length`.
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Ruling {
    fn of(outcome: &Outcome) -> Self {
        let none = |reason, note| Self {
            verdict: "none",
            reason,
            rule: None,
            origin: None,
            note: Some(note),
        };
        match &outcome.replayed {
            Replayed::Judged(judged) => Self {
                verdict: verdict_name(judged.verdict),
                reason: judged.reason.name(),
                rule: judged.rule.as_deref().map(str::to_owned),
                origin: judged.origin.as_deref().map(str::to_owned),
                note: None,
            },
            Replayed::Unusable(Unusable::Cut { captured, wire }) => none(
                "cut",
                format!("{captured} of {wire} bytes were captured, and the headers are longer"),
            ),
            Replayed::Unusable(Unusable::Link(number)) => {
                none("link", format!("frames of link type {number} are not known here"))
            }
            Replayed::Unusable(Unusable::NotRun) => none(
                "length",
                "the kernel runs no program on a frame of this length".to_owned(),
            ),
            Replayed::Elsewhere => none("elsewhere", "neither end is an address of this host".to_owned()),
        }
    }

    fn text(&self, output: &Output) -> String {
        let verdict = format!("{:<6}", self.verdict);
        let verdict = match self.verdict {
            "pass" => output.paint(Tone::Good, verdict),
            "none" => output.paint(Tone::Doubtful, verdict),
            _ => output.paint(Tone::Bad, verdict),
        };
        let mut text = format!("{verdict} {}", self.reason);
        // Writing to a string cannot fail.
        if let Some(rule) = &self.rule {
            let _ = write!(text, " {rule}");
        }
        if let Some(note) = &self.note {
            let _ = write!(text, ": {note}");
        }
        text
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a capture of a hundred days is exact to two nanoseconds"
)]
fn seconds(outcome: &Outcome) -> f64 {
    outcome.since_first as f64 / 1e9
}

impl Judgement {
    pub(super) fn of(outcome: &Outcome, packet: String) -> Self {
        Self {
            number: outcome.number,
            seconds: seconds(outcome),
            direction: outcome.way.map(crate::trial::Way::name),
            packet,
            ruling: Ruling::of(outcome),
            cut_behind_headers: outcome.is_cut,
        }
    }
}

/// A packet on which two policies differ.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Change {
    number: u64,
    /// Seconds since the first packet.
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    packet: String,
    before: Ruling,
    after: Ruling,
}

impl Change {
    pub(super) fn of(before: &Outcome, after: &Outcome, packet: String) -> Self {
        Self {
            number: after.number,
            seconds: seconds(after),
            direction: after.way.map(crate::trial::Way::name),
            packet,
            before: Ruling::of(before),
            after: Ruling::of(after),
        }
    }
}

/// A line of the output, where that is JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is described here, and each kind written by itself")]
pub(in crate::cli) enum Line {
    /// A packet.
    Packet(Judgement),
    /// A packet on which two policies differ.
    Change(Change),
    /// The end.
    Totals {
        /// What became of all packets together.
        totals: Totals,
    },
}

/// Writes packets as they come.
pub(super) struct Report<'a> {
    output: &'a Output,
    text: String,
}

impl<'a> Report<'a> {
    pub(super) const fn new(output: &'a Output) -> Self {
        Self {
            output,
            text: String::new(),
        }
    }

    pub(super) fn packet(&mut self, packet: &Judgement) -> Result<(), CliError> {
        if self.output.is_json() {
            return self.json(packet);
        }
        let ruling = packet.ruling.text(self.output);
        self.line(&format!(
            "{:>6} {:>12.6} {:<3} {}  {ruling}",
            packet.number,
            packet.seconds,
            packet.direction.unwrap_or("-"),
            packet.packet,
        ))
    }

    pub(super) fn change(&mut self, change: &Change) -> Result<(), CliError> {
        if self.output.is_json() {
            return self.json(change);
        }
        let (before, after) = (change.before.text(self.output), change.after.text(self.output));
        self.line(&format!(
            "{:>6} {:>12.6} {:<3} {}  {before}  ->  {after}",
            change.number,
            change.seconds,
            change.direction.unwrap_or("-"),
            change.packet,
        ))
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let line = serde_json::to_string(value)?;
        self.line(&line)
    }

    fn line(&mut self, line: &str) -> Result<(), CliError> {
        self.text.push_str(line);
        self.text.push('\n');
        if self.text.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CliError> {
        write(&self.text)?;
        self.text.clear();
        Ok(())
    }

    /// The end.
    pub(super) fn totals(&mut self, totals: &Totals, is_diff: bool) -> Result<(), CliError> {
        if self.output.is_json() {
            self.json(&serde_json::json!({ "totals": totals }))?;
        } else {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            let text = totals_text(self.output, totals, is_diff);
            self.text.push_str(&text);
        }
        self.flush()
    }
}

/// How long it took, and packets in a second, where there was time enough to tell, and enough of them.
fn rate(totals: &Totals) -> String {
    const LEAST_SECONDS: f64 = 0.1;
    const LEAST_PACKETS: u64 = 10_000;
    if totals.seconds < LEAST_SECONDS || totals.packets < LEAST_PACKETS {
        return String::new();
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "of a rate, the first digits are of interest"
    )]
    let rate = totals.packets as f64 / totals.seconds;
    format!(" in {:.1} s, {rate:.0} in a second", totals.seconds)
}

fn totals_text(output: &Output, totals: &Totals, is_diff: bool) -> String {
    let mut table = output.table(&["VERDICT", "REASON", "RULE", ">PACKETS"]);
    for group in totals.sorted() {
        table.add_row([
            group.verdict,
            group.reason,
            group.rule.as_deref().unwrap_or_default(),
            &group.packets.to_string(),
        ]);
    }
    let mut text = lines(&table);
    text.push('\n');
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("{}{}", plural(totals.packets, "packet"), rate(totals)));
    if is_diff {
        line(format!(
            "{} change their verdict",
            plural(totals.changed, "packet")
        ));
        for (change, packets) in &totals.changes {
            line(format!("  {change}: {packets}"));
        }
    }
    for (packets, what) in [
        (
            totals.cut,
            "not judged: their headers were not captured whole (snap length)",
        ),
        (
            totals.elsewhere,
            "not judged: neither end is an address of this host",
        ),
        (
            totals.other_links,
            "not judged: their link type is not known here",
        ),
        (
            totals.not_run,
            "not judged: the kernel runs no program on frames of their length",
        ),
        (
            totals.cut_behind_headers,
            "cut by the snap length behind their headers, and judged: no verdict depends on the rest",
        ),
    ] {
        if packets > 0 {
            line(format!("{} {what}", plural(packets, "packet")));
        }
    }
    text
}
