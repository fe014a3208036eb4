//! `fwctl rule delete`.

use crate::{
    cli::{CliError, editing::Editing},
    control::protocol::Edit,
};

/// Deletes a rule, live and from its policy file. Live flows that it had let in are judged again by the other rules.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl rule delete debug --why 'done with it'")]
pub(crate) struct Delete {
    /// Its name.
    name: String,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Editing for Delete {
    fn why(&self) -> Option<&String> {
        self.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        Ok(vec![Edit::RuleDelete { name: self.name }])
    }
}
