//! `fwctl cancel`.

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        reload,
    },
    control::protocol::Request,
};

/// Goes back to what was in force before the change that waits for its confirmation. No file has been written.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl cancel")]
pub(crate) struct Cancel {}

impl Cancel {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let Self {} = self;
        let changed = expect_response!(agent, Request::Cancel {}, Changed);
        output.print(&changed, reload::text)?;
        Ok(Exit::Done)
    }
}
