//! `fwctl flows delete`.

use super::filter::Filter;
use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output, plural},
    },
    control::protocol::{FlowFilter, Request},
};

/// Ends live flows; what still comes of them is judged anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl flows delete --remote 203.0.113.66")]
pub(crate) struct Delete {
    #[command(flatten)]
    filter: Filter,
    /// End every flow, without any condition.
    #[arg(long)]
    all: bool,
}

impl Delete {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let filter = FlowFilter::from(self.filter);
        if filter.is_everything() != self.all {
            return Err(CliError::Usage(
                "say which flows, or --all, and not both".to_owned(),
            ));
        }
        let deleted = expect_response!(agent, Request::FlowDelete { filter }, FlowsDeleted);
        output.print(&deleted, |_, deleted| {
            format!("{} ended\n", plural(deleted.flows, "flow"))
        })?;
        Ok(Exit::Done)
    }
}
