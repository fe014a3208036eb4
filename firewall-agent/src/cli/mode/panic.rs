//! `fwctl panic`.

use clap::Subcommand;

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
    },
    control::protocol::Request,
};

const EXAMPLES: &str = "\
What the failsafe of the agent's settings lets in stays: management sources to the management port, DHCP, the resolvers. Live connections end with their next packet. It holds until `fwctl panic off`, over restarts of the agent and of the machine: a host that was shut comes up shut. `firewall-agent unload` ends it, too.

Examples:
  fwctl panic -m 'somebody is in'
  fwctl panic off";

/// Drops everything but the failsafe, now.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Panic {
    #[command(subcommand)]
    what: Option<What>,
    /// Why; kept in the history.
    #[arg(short = 'm', long, value_name = "TEXT", global = true)]
    why: Option<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Ends panic.
    #[command(after_help = "Example:\n  fwctl panic off")]
    Off,
}

impl Panic {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::Panic {
            on: self.what.is_none(),
            why: self.why,
        };
        let changed = expect_response!(agent, request, Mode);
        output.print(&changed, super::text)?;
        Ok(Exit::Done)
    }
}
