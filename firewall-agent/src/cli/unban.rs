//! `fwctl unban`: ends bans.

use super::{
    Agent, CliError, ban, expect_response,
    output::{Exit, Output},
};
use crate::control::protocol::Request;

/// Ends bans. An address within a banned prefix stays shut until the prefix is unbanned.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl unban 203.0.113.66 198.51.100.0/24")]
pub(super) struct Unban {
    /// Addresses and prefixes, as `fwctl ban list` shows them.
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<String>,
}

impl Unban {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::Unban {
            addresses: self.addresses,
        };
        let changed = expect_response!(agent, request, BansChanged);
        output.print(&changed, ban::text)?;
        Ok(Exit::Done)
    }
}
