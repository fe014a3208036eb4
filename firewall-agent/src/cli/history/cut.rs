//! `fwctl history cut`.

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
    },
    control::protocol::Request,
    state::Head,
};

/// Cuts off older entries. A checkpoint is recorded first: without one, `fwctl history verify` takes them for removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl history cut --before 100 -m 'older than two years'")]
pub(super) struct Cut {
    /// The first entry that is kept.
    #[arg(long, value_name = "NR")]
    before: u64,
    /// Why; kept with the checkpoint.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Cut {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::HistoryCut {
            first: self.before,
            why: self.why,
        };
        let head = expect_response!(agent, request, HistoryHead);
        output.print(&head, |_, head: &Head| {
            format!(
                "cut behind checkpoint {}; the head is {}\n",
                head.number, head.hash
            )
        })?;
        Ok(Exit::Done)
    }
}
