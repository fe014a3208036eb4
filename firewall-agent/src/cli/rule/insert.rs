//! `fwctl rule insert`.

use std::path::PathBuf;

use super::{place::Place, said::Said};
use crate::{
    cli::{CliError, editing::Editing, span::Span},
    control::protocol::{Edit, NewRule},
};

const EXAMPLES: &str = "\
The first rule that matches decides, so the place counts. The rule is written to the file of the rule beside which it is to stand; `first` and `last` are those of this host's last layer, unless --file names another one.

Examples:
  fwctl rule insert no-guests before ssh --drop ssh --from 10.77.9.128/25
  fwctl rule insert debug first --allow tcp/8080 --from management --file base.toml
  fwctl rule insert no-scans before web --drop https --from 203.0.113.0/24 --for 1d";

/// Writes a new rule at a place that is said, live and in its policy file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Insert {
    /// Its name, unique in the policy.
    name: String,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    said: Said,
    /// The policy file to write it to.
    #[arg(long, value_name = "FILE", conflicts_with = "lasts")]
    file: Option<PathBuf>,
    /// How long it is to hold (90s, 30m, 2h, 1d); without, for good. It then stands in none of the policy files.
    #[arg(long = "for", id = "lasts", value_name = "TIME")]
    lasts: Option<Span>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Editing for Insert {
    fn why(&self) -> Option<&String> {
        self.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        Ok(vec![Edit::RuleAdd(Box::new(NewRule {
            rule: self.said.draft(self.name),
            file: self.file,
            place: self.place.try_into().map_err(CliError::Usage)?,
            why: None,
            seconds: self.lasts.map(Span::seconds),
        }))])
    }
}
