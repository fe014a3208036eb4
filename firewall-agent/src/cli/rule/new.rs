//! What `rule add` and `rule insert` say of a new rule.

use std::path::PathBuf;

use super::said::Said;
use crate::{
    cli::span::Span,
    control::protocol::{Edit, NewRule, RulePlace},
};

/// A rule that is not there yet, but for its name and its place.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    #[command(flatten)]
    said: Said,
    /// The policy file to write it to; without, the one of the rule beside which it is to stand, or that of this host's
    /// last layer.
    #[arg(long, value_name = "FILE", conflicts_with = "lasts")]
    file: Option<PathBuf>,
    /// How long it is to hold (90s, 30m, 2h, 1d); without, for good. It ends by itself, with the flows it has let in,
    /// and stands in none of the policy files.
    #[arg(long = "for", id = "lasts", value_name = "TIME")]
    lasts: Option<Span>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub(super) why: Option<String>,
}

impl New {
    /// The edit that adds it.
    pub(super) fn edit(self, name: String, place: RulePlace) -> Edit {
        Edit::RuleAdd(Box::new(NewRule {
            rule: self.said.draft(name),
            file: self.file,
            place,
            why: None,
            seconds: self.lasts.map(Span::seconds),
        }))
    }
}
