//! `fwctl ban list`.

use std::fmt::Write;

use comfy_table::Cell;

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output, duration, lines, plural},
    },
    control::protocol::{BanList, Request},
};

/// Lists the bans that hold, with the time left.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  fwctl ban list\n  fwctl ban list --json | jq -r '.bans[].prefix'")]
pub(super) struct List {}

impl List {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let Self {} = self;
        let bans = expect_response!(agent, Request::BanList {}, Bans);
        output.print(&bans, text)?;
        Ok(Exit::Done)
    }
}

fn text(output: &Output, list: &BanList) -> String {
    if list.bans.is_empty() {
        return "nobody is banned\n".to_owned();
    }
    let mut table = output.table(&["BANNED", ">LEFT", "UNTIL", "BY", "REASON"]);
    for ban in &list.bans {
        table.add_row([
            Cell::new(&ban.prefix),
            Cell::new(ban.seconds_left.map_or_else(|| "for good".to_owned(), duration)),
            Cell::new(ban.until.map(|until| format!("{until:.0}")).unwrap_or_default()),
            Cell::new(ban.by.describe()),
            Cell::new(ban.reason.as_deref().unwrap_or_default().escape_debug()),
        ]);
    }
    let mut text = lines(&table);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n{} dropped so far",
        plural(list.dropped_packets, "packet")
    );
    text
}
