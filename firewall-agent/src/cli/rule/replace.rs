//! `fwctl rule replace`.

use super::said::Said;
use crate::{
    cli::{CliError, editing::Editing, span::Span},
    control::protocol::Edit,
};

const EXAMPLES: &str = "\
What is not said is taken away; the rule's place, its comments, its counters, and whether it is enabled stay. A rule that ends by itself keeps its end as well, unless --for says how long it is to hold from now on.

Examples:
  fwctl rule replace debug --allow tcp/8080-8081 --from 10.77.9.7
  fwctl rule replace vendor --allow tcp/8443 --from 203.0.113.7 --for 1h -m 'the call takes longer'";

/// Has a rule say something else, live and in its policy file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Replace {
    /// Its name.
    name: String,
    #[command(flatten)]
    said: Said,
    /// How long it is to hold from now on (90s, 30m, 2h, 1d), if it is a rule that ends by itself.
    #[arg(long = "for", id = "lasts", value_name = "TIME")]
    lasts: Option<Span>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Editing for Replace {
    fn why(&self) -> Option<&String> {
        self.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        // First: what has ended is replaced only with time left.
        let term = self.lasts.map(|lasts| Edit::RuleTerm {
            name: self.name.clone(),
            seconds: lasts.seconds(),
        });
        let replaced = Edit::RuleReplace(Box::new(self.said.draft(self.name)));
        Ok(term.into_iter().chain([replaced]).collect())
    }
}
