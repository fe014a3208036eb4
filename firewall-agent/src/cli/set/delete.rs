//! `fwctl set delete`.

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        reload,
    },
    control::protocol::Request,
};

/// Takes entries out of a block list, live and out of its file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl set delete drop 192.0.2.1")]
pub(crate) struct Delete {
    /// The block list.
    name: String,
    /// Addresses, prefixes such as 192.0.2.0/24, and ranges such as 192.0.2.1-192.0.2.9.
    #[arg(required = true, value_name = "ENTRY")]
    entries: Vec<String>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Delete {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::SetDelete {
            name: self.name,
            entries: self.entries,
            why: self.why,
        };
        let changed = expect_response!(agent, request, Changed);
        output.print(&changed, reload::text)?;
        Ok(Exit::Done)
    }
}
