//! Rules, and changes of them.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfirmStatus, Finding, Packets};
use crate::policy::edit::RuleDraft;

/// A rule to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// The rule, key by key as in the policy language.
    pub rule: RuleDraft,
    /// The policy file to write it to; by default that of the rule that it stands beside, else that of this host's last
    /// layer.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Where in the file.
    #[serde(default)]
    pub place: RulePlace,
    /// Why, for the revision.
    #[serde(default)]
    pub why: Option<String>,
    /// After how many seconds it ends; it then stands beside the policy files, and not in one. Without, it holds for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Where in its file a new rule goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RulePlace {
    /// Behind the last rule.
    #[default]
    End,
    /// Before the first rule.
    First,
    /// Directly before the rule of this name.
    Before(String),
    /// Directly behind the rule of this name.
    After(String),
}

/// One rule in force, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct RuleSummary {
    /// Its name.
    pub name: String,
    /// `in`, `out` or `forward`.
    pub direction: String,
    /// `allow`, `drop` or `reject`.
    pub action: String,
    /// Kinds of packet, such as `tcp 443`.
    pub what: String,
    /// Source addresses.
    pub from: String,
    /// Destination addresses.
    pub to: String,
    /// `file:line`.
    pub origin: String,
    /// When it ends, if it does by itself: on the calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Seconds until then, by the clock of the kernel, which ends it; zero where it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// What it has decided.
    #[serde(flatten)]
    pub total: Packets,
}

/// A rule that ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct TimedRule {
    /// Its name.
    pub name: String,
    /// When it ends, on the calendar.
    pub until: Timestamp,
    /// Seconds until then, by the clock of the kernel, which ends it.
    pub seconds_left: u64,
    /// Whether it is switched off; its time goes on meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// Every rule in force, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Rules {
    /// The rules.
    pub rules: Vec<RuleSummary>,
    /// The verdicts where none matches: incoming, outgoing, forwarded.
    pub defaults: [String; 3],
    /// Rules of this host's layers that are switched off where they are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled: Vec<DisabledRule>,
}

/// A rule that is switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct DisabledRule {
    /// Its name.
    pub name: String,
    /// `file:line`.
    pub origin: String,
    /// When it ends, if it does by itself: on the calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Seconds until then, by the clock of the kernel; its time goes on while it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// Everything about one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct RuleDetail {
    /// The resolved rules: two where the sentence holds both ways.
    pub rules: Vec<RuleSummary>,
    /// As it is written.
    pub text: String,
    /// Whether it is switched off where it is written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// When it ends, if it does by itself: on the calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Seconds until then, by the clock of the kernel; zero where it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Interfaces it is for, if not for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<String>>,
    /// Log events in each second, if it logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_per_second: Option<u16>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last day before somebody should look at it again, such as `2030-12-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    /// Whether that day is over.
    #[serde(default)]
    pub review_overdue: bool,
}

/// What a change has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Changed {
    /// The revision in force now.
    pub revision: u64,
    /// Hash of its policy.
    pub policy_hash: String,
    /// Number of the judgement in the kernel.
    pub generation: u32,
    /// False where the files were in force already.
    pub changed: bool,
    /// What is different, a rule in each line.
    pub changes: Vec<String>,
    /// The files that were written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// What is suspicious about the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
    /// That it waits for its confirmation, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<ConfirmStatus>,
    /// What did not go as it should beside the change itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}
