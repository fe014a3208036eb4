//! `fwctl rule insert`.

use super::{new::New, place::Place};
use crate::{
    cli::{CliError, editing::Editing},
    control::protocol::Edit,
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
    new: New,
}

impl Editing for Insert {
    fn why(&self) -> Option<&String> {
        self.new.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        let place = self.place.try_into().map_err(CliError::Usage)?;
        Ok(vec![self.new.edit(self.name, place)])
    }
}
