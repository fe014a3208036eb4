//! Edits of the policy, one or many in one transaction.

use serde::{Deserialize, Serialize};

use super::{NewRule, RulePlace};
use crate::policy::edit::RuleDraft;

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Edit {
    /// Write a new rule.
    RuleAdd(Box<NewRule>),
    /// Have a rule say something else; its place and its comments stay.
    RuleReplace(Box<RuleDraft>),
    /// Have a rule that ends by itself end so many seconds from now.
    RuleTerm {
        /// Its name.
        name: String,
        /// How long it is to hold.
        seconds: u64,
    },
    /// Put a rule at another place of its file.
    RuleMove {
        /// Its name.
        name: String,
        /// Where to.
        place: RulePlace,
    },
    /// Have a rule take part again.
    RuleEnable {
        /// Its name.
        name: String,
    },
    /// Switch a rule off; it stays where it is written.
    RuleDisable {
        /// Its name.
        name: String,
    },
    /// Delete a rule.
    RuleDelete {
        /// Its name.
        name: String,
    },
    /// Put entries into a block list.
    SetAdd {
        /// Its name.
        name: String,
        /// Addresses, prefixes and ranges.
        entries: Vec<String>,
    },
    /// Take entries out of a block list.
    SetDelete {
        /// Its name.
        name: String,
        /// Addresses, prefixes and ranges, as they stand there.
        entries: Vec<String>,
    },
}

/// An edit, and where the operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineEdit {
    /// The line of the batch that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The edit.
    pub edit: Edit,
}

/// Edits that are made together or not at all, each to what the ones before have made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edits {
    /// In this order.
    pub edits: Vec<LineEdit>,
    /// Why, for the revision.
    #[serde(default)]
    pub why: Option<String>,
}
