//! `fwctl ban`: bans addresses, and lists bans.

mod list;

use std::fmt::Write;

use clap::Subcommand;

use super::{
    Agent, CliError, expect_response,
    output::{Exit, Output, Tone},
    span::Span,
};
use crate::control::protocol::{BansChanged, NewBan, Request};

const EXAMPLES: &str = "\
No packet of a banned address comes in and none goes to it, whatever the rules say, and its live connections end. A ban \
with `--for` ends by itself in the kernel, also with the agent dead; bans are kept over restarts and reboots. A later ban \
of the same prefix takes the place of the one before. What is refused: the address that you are logged in from, the \
failsafe's, and this host's own.

Examples:
  fwctl ban 203.0.113.66 --for 2h --reason 'scans us'
  fwctl ban 198.51.100.0/24 2001:db8:bad::/48
  fwctl ban list
  fwctl unban 203.0.113.66";

/// Bans addresses and prefixes for a while or for good; lists bans.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Ban {
    #[command(subcommand)]
    what: Option<What>,
    /// Addresses, and prefixes such as 198.51.100.0/24.
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// How long: a number and one of s, m, h, d; for good without it.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Span>,
    /// Why; shown with the ban.
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists the bans that hold, with the time left.
    List(list::List),
}

impl Ban {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        if let Some(What::List(command)) = self.what {
            return command.run(agent, output);
        }
        let request = Request::Ban(NewBan {
            addresses: self.addresses,
            seconds: self.time.map(Span::seconds),
            reason: self.reason,
        });
        let changed = expect_response!(agent, request, BansChanged);
        output.print(&changed, text)?;
        Ok(Exit::Done)
    }
}

/// What a change of the bans has done.
pub(super) fn text(output: &Output, changed: &BansChanged) -> String {
    let mut text = String::new();
    for change in &changed.changes {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {change}", output.paint(Tone::Good, "ok"));
    }
    for remark in &changed.remarks {
        let _ = writeln!(text, "{}: {remark}", output.paint(Tone::Doubtful, "note"));
    }
    text
}
