//! `fwctl rule`: lists, shows and edits rules.

mod add;
mod delete;
mod insert;
mod list;
mod r#move;
mod new;
mod place;
mod replace;
mod said;
mod show;
mod switch;

use clap::Subcommand;

use super::{
    Agent, CliError,
    editing::Editing,
    output::{Exit, Output},
};
use crate::control::protocol::Edit;

pub(super) const EXAMPLES: &str = "\
Examples:
  fwctl rule list
  fwctl rule add debug --allow tcp/8080 --from management -m 'chasing a bug'
  fwctl rule disable debug
  fwctl rule delete debug";

/// Lists, shows and edits rules.
#[derive(Debug, Subcommand)]
pub(super) enum Rule {
    /// Lists the rules in force, in the order in which they are tried.
    List(list::List),
    /// Shows one rule, as it is written and as it is in force.
    Show(show::Show),
    #[command(flatten)]
    Change(Box<Change>),
}

/// Edits rules, live and in their policy files.
#[derive(Debug, Subcommand)]
pub(super) enum Change {
    /// Adds a rule, live and in its policy file.
    Add(add::Add),
    /// Writes a new rule at a place that is said, live and in its policy file.
    Insert(insert::Insert),
    /// Has a rule say something else, live and in its policy file.
    Replace(replace::Replace),
    /// Puts a rule at another place of its policy file, live and in the file.
    Move(r#move::Move),
    /// Has rules take part again, live and in their policy files.
    Enable(switch::Enable),
    /// Switches rules off, live and in their policy files.
    Disable(switch::Disable),
    /// Deletes a rule, live and from its policy file.
    Delete(delete::Delete),
}

impl Rule {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        match self {
            Self::List(command) => command.run(agent, output),
            Self::Show(command) => command.run(agent, output),
            Self::Change(command) => command.run(agent, output),
        }
    }
}

impl Editing for Change {
    fn why(&self) -> Option<&String> {
        match self {
            Self::Add(command) => command.why(),
            Self::Insert(command) => command.why(),
            Self::Replace(command) => command.why(),
            Self::Move(command) => command.why(),
            Self::Enable(command) => command.why(),
            Self::Disable(command) => command.why(),
            Self::Delete(command) => command.why(),
        }
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        match self {
            Self::Add(command) => command.edits(),
            Self::Insert(command) => command.edits(),
            Self::Replace(command) => command.edits(),
            Self::Move(command) => command.edits(),
            Self::Enable(command) => command.edits(),
            Self::Disable(command) => command.edits(),
            Self::Delete(command) => command.edits(),
        }
    }
}
