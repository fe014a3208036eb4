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
    /// Of live flows every so many is asked about; at least 1.
    pub every: u32,
}

/// What a rule of the candidate would have decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ShadowRule {
    /// The rule with its place, a default, a block list, or a reason.
    pub decider: String,
    /// Connections that it would have decided.
    pub connections: u64,
    /// Those of them that the policy in force keeps out.
    pub newly_let_in: u64,
    /// Those of them that the policy in force lets in.
    pub newly_kept_out: u64,
}

/// What a candidate would have made of live traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ShadowReport {
    /// How long it was watched.
    pub seconds: u64,
    /// Live connections that were asked about.
    pub passed: u64,
    /// Dropped ones: as far as they were logged.
    pub dropped: u64,
    /// Connections that were seen and not asked about.
    pub left_out: u64,
    /// Log events that came too fast.
    pub events_lost: u64,
    /// Whether nothing that passes would have been kept out.
    pub clean: bool,
    /// By who decides.
    pub rules: Vec<ShadowRule>,
    /// What passes and would not.
    pub kept_out: Vec<FlowGroup>,
    /// What is dropped and would not be.
    pub let_in: Vec<FlowGroup>,
}
