//! Commands that edit the policy: by themselves, or as lines of a batch.

use super::{
    Agent, CliError, expect_response,
    output::{Exit, Output},
    reload,
};
use crate::control::protocol::{Edit, Edits, LineEdit, Request};

/// A command that edits the policy.
pub(super) trait Editing: Sized {
    /// Why, if it says so.
    fn why(&self) -> Option<&String>;

    /// What it wants.
    fn edits(self) -> Result<Vec<Edit>, CliError>;

    /// Has it done, as one transaction.
    fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let why = self.why().cloned();
        let edits = self.edits()?.into_iter();
        let edits = edits.map(|edit| LineEdit { line: None, edit }).collect();
        send(agent, output, Edits { edits, why })
    }
}

/// Has edits made, together or not at all.
pub(super) fn send(agent: &mut Agent, output: &mut Output, edits: Edits) -> Result<Exit, CliError> {
    let changed = expect_response!(agent, Request::Edit(edits), Changed);
    output.print(&changed, reload::text)?;
    Ok(Exit::Done)
}
