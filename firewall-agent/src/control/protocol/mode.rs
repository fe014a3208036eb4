//! Panic and pause.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The mode after a change of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ModeChanged {
    /// `normal`, `panic` or `pause`.
    pub mode: String,
    /// How long it lasts, if it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// What was done beside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}
