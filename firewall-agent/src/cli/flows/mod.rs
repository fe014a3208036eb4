//! `fwctl flows`: lists and ends live flows.

mod delete;
mod filter;
mod list;

use clap::Subcommand;

use super::{
    Agent, CliError,
    output::{Exit, Output},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  fwctl flows list --remote 203.0.113.0/24
  fwctl flows delete --remote 203.0.113.66";

/// Lists and ends live flows.
#[derive(Debug, Subcommand)]
pub(super) enum Flows {
    /// Lists live flows.
    List(list::List),
    /// Ends live flows; what still comes of them is judged anew.
    Delete(delete::Delete),
}

impl Flows {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        match self {
            Self::List(command) => command.run(agent, output),
            Self::Delete(command) => command.run(agent, output),
        }
    }
}
