//! `fwctl rule replace`.

use super::said::Said;
use crate::{
    cli::{CliError, editing::Editing},
    control::protocol::Edit,
};

const EXAMPLES: &str = "\
What is not said is taken away; the rule's place, its comments, its counters, and whether it is enabled stay.

Example:
  fwctl rule replace debug --allow tcp/8080-8081 --from 10.77.9.7";

/// Has a rule say something else, live and in its policy file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Replace {
    /// Its name.
    name: String,
    #[command(flatten)]
    said: Said,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Editing for Replace {
    fn why(&self) -> Option<&String> {
        self.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        Ok(vec![Edit::RuleReplace(Box::new(self.said.draft(self.name)))])
    }
}
