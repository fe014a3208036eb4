//! A candidate beside the policy in force.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FlowGroup, NewFile};

/// A shadow run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// Texts that stand in for policy files; the files as they are on disk where there are none.
    #[serde(default)]
    pub files: Vec<NewFile>,
    /// How long.
    pub seconds: u64,
    /// Of connections, and of dropped packets, one in so many is asked about; at least 1.
    pub every: u32,
    /// Dropped packets that are asked about in a second, at most.
    pub per_second: u32,
}

/// How far a shadow run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowProgress {
    /// Seconds until the report.
    pub seconds_left: u64,
    /// Connections that were seen to pass.
    pub passed: u64,
    /// Dropped packets that were looked at.
    pub sampled: u64,
}

/// What a rule of the candidate would have decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ShadowRule {
    /// The rule with its place, a default, a block list, or a reason.
    pub decider: String,
    /// The rule's name, where it is a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// `file:line` of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Connections that it would have decided, those that are dropped now among them.
    pub connections: u64,
    /// Those of them that the policy in force keeps out.
    pub newly_let_in: u64,
    /// Dropped packets that were looked at of those that it would newly let in.
    pub packets_let_in: u64,
    /// Those of them that the policy in force lets in.
    pub newly_kept_out: u64,
}

/// What has become of the packets that were dropped during the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ShadowDrops {
    /// All of them, by the counters of the interfaces.
    pub counted: u64,
    /// Those of them that a rule, a default or a block list has dropped. No policy decides about the others.
    pub decided: u64,
    /// Those of them that were looked at.
    pub sampled: u64,
    /// Left out by chance: one in so many was wanted.
    pub skipped: u64,
    /// Left out, since there were more in a second than wanted.
    pub limited: u64,
    /// Lost, since they were not read in time.
    pub lost: u64,
    /// Looked at and not asked about: too much of them is missing, or there were too many that differ.
    pub unusable: u64,
}

/// How many connections were opened during the run, by two accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ShadowOpened {
    /// Packets that rules and defaults of the policy in force have let pass by their own verdict: those that open flows,
    /// those that need none, and those of flows that were judged again.
    pub counted: u64,
    /// Flows that were seen and had been opened during the run.
    pub seen: u64,
}

/// What a candidate would have made of live traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ShadowReport {
    /// How long it was watched.
    pub seconds: u64,
    /// Connections that pass and were asked about.
    pub passed: u64,
    /// Those of them that had ended again when they were first seen.
    pub ended: u64,
    /// Connections that are dropped and were asked about.
    pub dropped: u64,
    /// Connections that pass, were seen, and were not asked about.
    pub left_out: u64,
    /// What was opened, and what was seen of it.
    pub opened: ShadowOpened,
    /// What was dropped, and what was looked at of it.
    pub drops: ShadowDrops,
    /// Whether nothing that passes would have been kept out.
    pub clean: bool,
    /// By who decides.
    pub rules: Vec<ShadowRule>,
    /// What passes and would not.
    pub kept_out: Vec<FlowGroup>,
    /// What is dropped and would not be.
    pub let_in: Vec<FlowGroup>,
}
