//! `fwctl set add`.

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        reload,
    },
    control::protocol::Request,
};

/// Puts addresses, prefixes or ranges into a block list, live and in its file. Live flows with them end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl set add drop 192.0.2.1 2001:db8::/32 --why 'scans us'")]
pub(crate) struct Add {
    /// The block list.
    name: String,
    /// Addresses, prefixes such as 192.0.2.0/24, and ranges such as 192.0.2.1-192.0.2.9.
    #[arg(required = true, value_name = "ENTRY")]
    entries: Vec<String>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Add {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::SetAdd {
            name: self.name,
            entries: self.entries,
            why: self.why,
        };
        let changed = expect_response!(agent, request, Changed);
        output.print(&changed, reload::text)?;
        Ok(Exit::Done)
    }
}
