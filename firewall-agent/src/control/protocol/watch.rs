//! Who looks at live traffic.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Capture;
use crate::state::Actor;

/// What somebody looks at live traffic for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchKind {
    /// `fwctl capture`: dropped packets, bytes and all.
    Capture,
    /// `fwctl learn`.
    Learn,
    /// `fwctl shadow`.
    Shadow,
}

impl WatchKind {
    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Learn => "learn",
            Self::Shadow => "shadow",
        }
    }
}

/// A look at live traffic that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct WatchStatus {
    /// What for.
    pub kind: WatchKind,
    /// Who looks.
    pub by: Actor,
    /// Since when.
    pub since: Timestamp,
    /// Seconds until it ends by itself; left out where it goes on until its client ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Which packets are captured, where it is a capture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
}
