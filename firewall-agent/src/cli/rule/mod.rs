//! `fwctl rule`: lists, shows, adds and deletes rules.

mod add;
mod delete;
mod list;
mod show;

use clap::Subcommand;

use super::{
    Agent, CliError,
    output::{Exit, Output},
};

/// Lists, shows, adds and deletes rules.
#[derive(Debug, Subcommand)]
pub(super) enum Rule {
    /// Lists the rules in force, in the order in which they are tried.
    List(list::List),
    /// Shows one rule, as it is written and as it is in force.
    Show(show::Show),
    /// Adds a rule, live and in its policy file.
    Add(Box<add::Add>),
    /// Deletes a rule, live and from its policy file.
    Delete(delete::Delete),
}

impl Rule {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        match self {
            Self::List(command) => command.run(agent, output),
            Self::Show(command) => command.run(agent, output),
            Self::Add(command) => command.run(agent, output),
            Self::Delete(command) => command.run(agent, output),
        }
    }
}
