//! `fwctl rule add`.

use clap::ArgGroup;

use super::new::New;
use crate::{
    cli::{CliError, editing::Editing},
    control::protocol::{Edit, RulePlace},
};

const EXAMPLES: &str = "\
The options are the keys of the policy language (rules/README.md); those that take several values may be repeated, or given a list with commas.

Examples:
  fwctl rule add debug --allow tcp/8080 --from 10.77.9.0/24 --why 'chasing a bug'
  fwctl rule add mail --allow smtp --to mail-servers --file base.toml --owner ops
  fwctl rule add no-ntp --drop ntp --from any --place-before queries
  fwctl rule add vendor --allow tcp/8443 --from 203.0.113.7 --for 2h -m 'support call'

A rule with --for stands beside the policy files, in none of them. It ends on time together with the flows that it has let in, whether the agent runs or not, and outlasts restarts and reboots until then.";

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
    new: New,
    /// Write it directly before this rule, and not behind the last one.
    #[arg(long, value_name = "RULE")]
    place_before: Option<String>,
    /// Write it directly behind this rule.
    #[arg(long, value_name = "RULE")]
    place_after: Option<String>,
}

impl Editing for Add {
    fn why(&self) -> Option<&String> {
        self.new.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        let place = match (self.place_before, self.place_after) {
            (Some(rule), _) => RulePlace::Before(rule),
            (None, Some(rule)) => RulePlace::After(rule),
            (None, None) => RulePlace::End,
        };
        Ok(vec![self.new.edit(self.name, place)])
    }
}
