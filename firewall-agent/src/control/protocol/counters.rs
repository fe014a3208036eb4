//! What was counted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Packets and bytes, from the link-level header on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Packets {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Of one rule, or of a direction's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct RuleCounts {
    /// Its name; `default` of a direction is `(default in)`.
    pub rule: String,
    /// `in`, `out` or `forward`.
    pub direction: String,
    /// `allow`, `drop` or `reject`.
    pub action: String,
    /// `file:line`; empty for a default.
    pub origin: String,
    /// Packets that it decided, those of flows that it let in among them.
    #[serde(flatten)]
    pub total: Packets,
    /// Packets that it was tried on and matched: new flows, drops, rejects.
    pub matches: u64,
}

/// Of one reason at one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ReasonCounts {
    /// Its name.
    pub reason: String,
    /// `ingress` or `egress`.
    pub hook: String,
    /// Whether it drops.
    pub drops: bool,
    /// Packets.
    #[serde(flatten)]
    pub total: Packets,
    /// What the reason means.
    pub meaning: String,
}

/// Of one interface in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct InterfaceCounts {
    /// Its name; `(others)` for those that have no counters of their own.
    pub interface: String,
    /// `ingress` or `egress`.
    pub hook: String,
    /// Went on.
    pub passed: Packets,
    /// Dropped.
    pub dropped: Packets,
    /// Dropped and answered.
    pub rejected: Packets,
}

/// All counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Counters {
    /// Rules in the order of the policy, then the defaults.
    pub rules: Vec<RuleCounts>,
    /// Reasons that have decided anything.
    pub reasons: Vec<ReasonCounts>,
    /// Attached interfaces.
    pub interfaces: Vec<InterfaceCounts>,
}
