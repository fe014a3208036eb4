//! `fwctl history`: who changed what, and whether the record of it is whole.

mod cut;
mod verify;

use clap::Subcommand;
use comfy_table::Cell;

use super::{
    Agent, CliError, expect_response,
    output::{Exit, Output, Tone, lines},
};
use crate::control::protocol::{HistoryEntry, HistoryList, Request};

const EXAMPLES: &str = "\
Each entry has the SHA-256 of the one before it. The last one's hash, the head, stands in `fwctl status`, in the log and in the metric firewall_history_info: a history that was rewritten as a whole does not have a head that was written down before (`fwctl history verify --head HASH`).

Examples:
  fwctl history
  fwctl history --limit 5 --json | jq -r '.entries[].why'
  fwctl history verify
  fwctl history cut --before 100 -m 'older than two years'";

/// Shows who changed what, when, from where and why; verifies the record.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct History {
    #[command(subcommand)]
    what: Option<What>,
    /// At most so many entries, the newest.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Finds entries that were changed, removed or reordered.
    Verify(verify::Verify),
    /// Cuts off older entries, behind an entry that says so.
    Cut(cut::Cut),
}

impl History {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        match self.what {
            Some(What::Verify(command)) => return command.run(agent, output),
            Some(What::Cut(command)) => return command.run(agent, output),
            None => {}
        }
        let history = expect_response!(agent, Request::History { limit: self.limit }, History);
        output.print(&history, text)?;
        Ok(Exit::Done)
    }
}

fn text(output: &Output, history: &HistoryList) -> String {
    let mut table = output.table(&[">NR", "WHEN", "WHAT", ">REVISION", ">CHANGES", "WHO", "WHY"]);
    for one in &history.entries {
        table.add_row(row(one));
    }
    let mut text = lines(&table);
    if history.faults > 0 {
        let said = "the record was changed: `fwctl history verify` says where";
        text.push_str(&output.paint(Tone::Bad, said));
        text.push('\n');
    }
    text
}

fn with_why(what: &str, why: &str) -> String {
    if why.is_empty() {
        return what.to_owned();
    }
    format!("{what}: {why}")
}

fn row(one: &HistoryEntry) -> [Cell; 7] {
    let (entry, record) = (&one.entry, &one.entry.record);
    let what = record.cause.map_or(record.event.name(), |cause| cause.name());
    let why = record
        .why
        .as_deref()
        .unwrap_or_default()
        .escape_debug()
        .to_string();
    let said = match record.what.as_slice() {
        [] => why,
        [what] => with_why(what, &why),
        [what, ..] => with_why(&format!("{what}, …"), &why),
    };
    let revision = record.revision.map(|revision| revision.to_string());
    let mut who = record.by.describe();
    if let Some(confirmed_by) = record.confirmed_by.as_ref().filter(|other| **other != record.by) {
        who = format!("{who}, confirmed by {}", confirmed_by.describe());
    }
    [
        Cell::new(entry.number),
        Cell::new(format!("{:.0}", entry.at)),
        Cell::new(what),
        Cell::new(revision.unwrap_or_default()),
        Cell::new(record.changes),
        Cell::new(who),
        Cell::new(said),
    ]
}
