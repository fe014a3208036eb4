//! `fwctl rule add`.

use std::path::PathBuf;

use clap::ArgGroup;

use super::said::Said;
use crate::{
    cli::{CliError, editing::Editing},
    control::protocol::{Edit, NewRule, RulePlace},
};

const EXAMPLES: &str = "\
The options are the keys of the policy language (rules/README.md); those that take several values may be repeated, or given a list with commas.

Examples:
  fwctl rule add debug --allow tcp/8080 --from 10.77.9.0/24 --why 'chasing a bug'
  fwctl rule add mail --allow smtp --to mail-servers --file base.toml --owner ops
  fwctl rule add no-ntp --drop ntp --from any --place-before queries";

/// Adds a rule, live and in its policy file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("place").args(["place_before", "place_after"]),
)]
pub(crate) struct Add {
    /// Its name, unique in the policy.
    name: String,
    #[command(flatten)]
    said: Said,
    /// The policy file to write it to; by default that of this host's last layer.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write it directly before this rule, and not behind the last one.
    #[arg(long, value_name = "RULE")]
    place_before: Option<String>,
    /// Write it directly behind this rule.
    #[arg(long, value_name = "RULE")]
    place_after: Option<String>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Editing for Add {
    fn why(&self) -> Option<&String> {
        self.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        Ok(vec![Edit::RuleAdd(Box::new(NewRule {
            rule: self.said.draft(self.name),
            file: self.file,
            place: match (self.place_before, self.place_after) {
                (Some(rule), _) => RulePlace::Before(rule),
                (None, Some(rule)) => RulePlace::After(rule),
                (None, None) => RulePlace::End,
            },
            why: None,
        }))])
    }
}
