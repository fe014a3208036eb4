//! `fwctl rollback`.

use super::window::Window;
use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        words::revision,
    },
    control::protocol::{self, Request},
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
    #[arg(value_parser = revision)]
    revision: u64,
    #[command(flatten)]
    window: Window,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Rollback {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::Rollback(protocol::Rollback {
            to: self.revision,
            confirm: self.window.confirm(),
            force: self.window.force,
            why: self.why,
        });
        let changed = expect_response!(agent, request, Changed);
        output.print(&changed, super::text)?;
        Ok(Exit::Done)
    }
}
