//! `fwctl rule move`.

use super::place::Place;
use crate::{
    cli::{CliError, editing::Editing},
    control::protocol::Edit,
};

const EXAMPLES: &str = "\
The comment lines directly above the rule go along. A rule stays in its file: the layers base, role and host are tried in this order. A rule that ends by itself stands in none of them and goes anywhere; it keeps its end.

Examples:
  fwctl rule move debug before ssh
  fwctl rule move debug last";

/// Puts a rule at another place of its policy file, live and in the file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Move {
    /// Its name.
    name: String,
    #[command(flatten)]
    place: Place,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Editing for Move {
    fn why(&self) -> Option<&String> {
        self.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        Ok(vec![Edit::RuleMove {
            name: self.name,
            place: self.place.try_into().map_err(CliError::Usage)?,
        }])
    }
}
