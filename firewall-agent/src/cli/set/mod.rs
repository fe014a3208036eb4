//! `fwctl set`: lists, shows and changes block lists.

pub(super) mod entries;
mod import;
mod list;
mod show;

use clap::Subcommand;

use super::{
    Agent, CliError,
    output::{Exit, Output},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  fwctl set list
  fwctl set add drop 192.0.2.0/24
  fwctl set import drop firehol.netset";

/// Lists, shows and changes block lists.
#[derive(Debug, Subcommand)]
pub(super) enum Set {
    /// Lists the block lists in force.
    List(list::List),
    /// Shows one block list: where it comes from, and its first lines.
    Show(show::Show),
    /// Puts addresses, prefixes or ranges into a block list, live and in its file.
    Add(entries::Add),
    /// Takes entries out of a block list, live and out of its file.
    Delete(entries::Delete),
    /// Gives a block list the content of a file, live and in its own file.
    Import(import::Import),
}

impl Set {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        match self {
            Self::List(command) => command.run(agent, output),
            Self::Show(command) => command.run(agent, output),
            Self::Add(command) => command.run(agent, output),
            Self::Delete(command) => command.run(agent, output),
            Self::Import(command) => command.run(agent, output),
        }
    }
}
