//! `fwctl rollback`.

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        span::Span,
    },
    control::protocol::{self, Confirm, Request},
};

const EXAMPLES: &str = "\
It is a new revision with the former one's files, asked and confirmed as `fwctl apply` does it; the policy files become the former revision's at the confirmation.

Examples:
  fwctl rollback 4 -m 'the mirror was a mistake'
  fwctl rollback 4 --no-confirm";

/// Puts a former revision in force again, and its files on disk.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rollback {
    /// The revision; `fwctl history` shows them.
    revision: u64,
    /// How long it waits for `fwctl confirm`: 60s, 5m. By default 60s while a management connection is open.
    #[arg(long, value_name = "TIME", conflicts_with = "no_confirm")]
    confirm: Option<Span>,
    /// It holds at once.
    #[arg(long)]
    no_confirm: bool,
    /// Also where it would cut a management connection.
    #[arg(long, conflicts_with = "no_confirm", requires = "confirm")]
    force: bool,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Rollback {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let confirm = match self.confirm {
            Some(span) => Confirm::Within(span.seconds()),
            None if self.no_confirm => Confirm::No,
            None => Confirm::Auto,
        };
        let request = Request::Rollback(protocol::Rollback {
            to: self.revision,
            confirm,
            force: self.force,
            why: self.why,
        });
        let changed = expect_response!(agent, request, Changed);
        output.print(&changed, super::text)?;
        Ok(Exit::Done)
    }
}
