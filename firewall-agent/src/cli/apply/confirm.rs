//! `fwctl confirm`.

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        reload,
    },
    control::protocol::Request,
};

/// Makes the change that waits one for good: its revision counts, and its files are written. Too late is an error that
/// says what is in force.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl confirm")]
pub(crate) struct Keep {}

impl Keep {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let Self {} = self;
        let changed = expect_response!(agent, Request::Confirm {}, Changed);
        output.print(&changed, reload::text)?;
        Ok(Exit::Done)
    }
}
