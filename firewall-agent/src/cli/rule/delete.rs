//! `fwctl rule delete`.

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        reload,
    },
    control::protocol::Request,
};

/// Deletes a rule, live and from its policy file. Live flows that it had let in are judged again by the other rules.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl rule delete debug --why 'done with it'")]
pub(crate) struct Delete {
    /// Its name.
    name: String,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Delete {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::RuleDelete {
            name: self.name,
            why: self.why,
        };
        let changed = expect_response!(agent, request, Changed);
        output.print(&changed, reload::text)?;
        Ok(Exit::Done)
    }
}
