//! `fwctl history verify`.

use std::fmt::Write;

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output, Tone},
    },
    control::protocol::{HistoryVerdict, Request},
};

/// Finds entries that were changed, removed or reordered, and revisions that are not as they were recorded. Ends with 1
/// where it finds any.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  fwctl history verify\n  fwctl history verify --head 3f9a27c1")]
pub(super) struct Verify {
    /// A head that was written down before, or the first digits of it: it has to be in the record.
    #[arg(long, value_name = "HASH")]
    head: Option<String>,
}

impl Verify {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::HistoryVerify { head: self.head };
        let verdict = expect_response!(agent, request, HistoryVerdict);
        output.print(&verdict, text)?;
        Ok(if verdict.faults.is_empty() {
            Exit::Done
        } else {
            Exit::No
        })
    }
}

fn text(output: &Output, verdict: &HistoryVerdict) -> String {
    let mut text = String::new();
    for fault in &verdict.faults {
        let line = fault
            .line
            .map(|line| format!("line {line}: "))
            .unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}: {line}{}",
            output.paint(Tone::Bad, "changed"),
            fault.what
        );
    }
    let (entries, head) = (verdict.entries, &verdict.head);
    let _ = if verdict.faults.is_empty() {
        writeln!(
            text,
            "{}: {}, each as it was recorded; the head is entry {}, {}",
            output.paint(Tone::Good, "ok"),
            if entries == 1 {
                "1 entry".to_owned()
            } else {
                format!("{entries} entries")
            },
            head.number,
            head.hash
        )
    } else {
        writeln!(
            text,
            "the head that was recorded last is entry {}, {}",
            head.number, head.hash
        )
    };
    text
}
