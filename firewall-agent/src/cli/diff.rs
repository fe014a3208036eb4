//! `fwctl diff`: what one revision says differently than another.

use super::{
    Agent, CliError, expect_response,
    output::{Exit, Output},
    plan::difference,
    words::revision,
};
use crate::control::protocol::Request;

/// Shows what one revision says differently than another: rules by name, sets by count, settings.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl diff 3 5")]
pub(super) struct Diff {
    /// The older revision.
    #[arg(value_parser = revision)]
    from: u64,
    /// The newer revision.
    #[arg(value_parser = revision)]
    to: u64,
}

impl Diff {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::Diff {
            from: self.from,
            to: self.to,
        };
        let found = expect_response!(agent, request, Difference);
        output.print(&found, difference::text)?;
        Ok(Exit::Done)
    }
}
