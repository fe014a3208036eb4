//! `fwctl rule enable` and `fwctl rule disable`.

use crate::{
    cli::{CliError, editing::Editing},
    control::protocol::Edit,
};

/// Has rules take part again, live and in their policy files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl rule enable debug")]
pub(crate) struct Enable {
    #[command(flatten)]
    rules: Rules,
}

/// Switches rules off, live and in their policy files, where they stay with `enabled = false`. Live flows that they had
/// let in are judged again by the other rules.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl rule disable debug --why 'not needed for now'")]
pub(crate) struct Disable {
    #[command(flatten)]
    rules: Rules,
}

#[derive(Debug, clap::Args)]
struct Rules {
    /// Their names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Editing for Enable {
    fn why(&self) -> Option<&String> {
        self.rules.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        let names = self.rules.names.into_iter();
        Ok(names.map(|name| Edit::RuleEnable { name }).collect())
    }
}

impl Editing for Disable {
    fn why(&self) -> Option<&String> {
        self.rules.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        let names = self.rules.names.into_iter();
        Ok(names.map(|name| Edit::RuleDisable { name }).collect())
    }
}
