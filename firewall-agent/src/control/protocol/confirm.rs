//! Changes that hold until they are confirmed.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::state::Actor;

/// Whether a change has to be confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confirm {
    /// Within the usual time, if a management connection is open that could be cut.
    #[default]
    Auto,
    /// Within so many seconds.
    Within(u64),
    /// It holds at once.
    No,
}

/// A text that stands in for a policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFile {
    /// The file as the operator named it: it takes the place of the policy file of the same name, or stands beside the
    /// others.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A policy to be put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Texts that stand in for policy files; the files as they are on disk where there are none.
    #[serde(default)]
    pub files: Vec<NewFile>,
    /// Whether it has to be confirmed.
    #[serde(default)]
    pub confirm: Confirm,
    /// Also where it would cut a management connection. Only with a confirmation.
    #[serde(default)]
    pub force: bool,
    /// Only after a clean shadow run of exactly this policy.
    #[serde(default)]
    pub require_shadow: bool,
    /// Why, for the revision.
    #[serde(default)]
    pub why: Option<String>,
}

/// A change that waits for its confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ConfirmStatus {
    /// The revision that waits.
    pub revision: u64,
    /// The revision that comes back by itself, if it has a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<u64>,
    /// Who put it in force.
    pub by: Actor,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it was put in force.
    pub since: Timestamp,
    /// When it ends.
    pub deadline: Timestamp,
    /// Time left by the kernel's clock.
    pub seconds_left: u64,
}
