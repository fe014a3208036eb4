//! Bans.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::state::Actor;

/// Whom to ban, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBan {
    /// Addresses and prefixes.
    pub addresses: Vec<String>,
    /// Seconds; for ever where it is left out.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Why, in the operator's words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// One banned prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct BanInfo {
    /// An address, or a prefix.
    pub prefix: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; left out where it is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Seconds until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Who wanted it.
    pub by: Actor,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The bans that hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct BanList {
    /// By prefix.
    pub bans: Vec<BanInfo>,
    /// Packets from and to banned addresses that were dropped since the counters were made.
    pub dropped_packets: u64,
}

/// What a change of the bans has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct BansChanged {
    /// What is different, a prefix in each line.
    pub changes: Vec<String>,
    /// Bans that hold now.
    pub bans: usize,
    /// Number of the judgement in the kernel.
    pub generation: u32,
    /// What the operator might not expect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}
