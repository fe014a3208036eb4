//! The agent's settings.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The file of the settings on disk, against what the agent runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingsState {
    /// The same.
    InUse,
    /// It says something else: a restart takes it.
    Changed,
    /// It cannot be used: a restart goes on with what was last used.
    Broken,
}

impl SettingsState {
    /// All that there are.
    pub const ALL: [Self; 3] = [Self::InUse, Self::Changed, Self::Broken];

    /// The word for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InUse => "in-use",
            Self::Changed => "changed",
            Self::Broken => "broken",
        }
    }
}

/// How the agent's settings stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct SettingsStatus {
    /// Their file.
    pub path: PathBuf,
    /// What has become of it.
    pub state: SettingsState,
    /// Why it cannot be used, with the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}
