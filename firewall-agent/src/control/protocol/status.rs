//! How things are.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfirmStatus, Failure, SettingsStatus, TimedRule, WatchStatus};
use crate::state::{Actor, Cause, Head, Panic};

/// What is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcing {
    /// A revision.
    Policy,
    /// Everything but the failsafe is dropped, since there is no policy that could be used.
    FailsafeOnly,
    /// A policy that an earlier agent loaded, and that this one has no usable revision of.
    Adopted,
    /// Nothing, since nothing ever was: the first policy waits for an operator to apply it.
    Nothing,
}

impl Enforcing {
    /// All that there are.
    pub const ALL: [Self; 4] = [Self::Policy, Self::FailsafeOnly, Self::Adopted, Self::Nothing];

    /// The word for people and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::FailsafeOnly => "failsafe-only",
            Self::Adopted => "adopted",
            Self::Nothing => "nothing",
        }
    }
}

/// The revision in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct RevisionStatus {
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub by: Actor,
    /// How.
    pub cause: Cause,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A policy file on disk, against what is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// The same.
    InForce,
    /// Its content differs: the change is pending.
    Changed,
    /// It is on disk only: pending.
    New,
    /// It is in force only: its removal is pending.
    Removed,
    /// It cannot be read.
    Unreadable,
}

impl FileState {
    /// The words for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Changed => "changed, pending",
            Self::New => "new, pending",
            Self::Removed => "removed, pending",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct PolicyFileStatus {
    /// Where it is.
    pub path: PathBuf,
    /// How it stands.
    pub state: FileState,
}

/// An attached interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// `native` or `generic`.
    pub mode: String,
    /// Why so.
    pub reason: String,
    /// What the mode costs, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// Whether receive VLAN offload was switched off for the policy.
    pub vlan_offload_disabled: bool,
}

/// An interface that the policy names and that is not attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct InterfaceFailure {
    /// Its name.
    pub name: String,
    /// Why.
    pub error: String,
}

/// How the last attempt to put a policy in force ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct LastReload {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Actor,
    /// How.
    pub cause: Cause,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How full a table of the kernel is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct TableUse {
    /// Its name.
    pub table: String,
    /// Entries in use.
    pub used: u64,
    /// Entries that there is room for.
    pub capacity: u64,
}

/// How things are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Status {
    /// Version of the agent.
    pub agent_version: String,
    /// Its process.
    pub pid: u32,
    /// When it was started.
    pub started: Timestamp,
    /// The role that it enforces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The host that it enforces it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What is in force.
    pub enforcing: Enforcing,
    /// `normal`, `panic` or `pause`.
    pub mode: String,
    /// The revision in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionStatus>,
    /// Who has the host in panic, while it is: also over restarts of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic: Option<Panic>,
    /// How long the mode lasts, if it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_seconds_left: Option<u64>,
    /// The last entry of the history: whoever writes it down can tell later that none has gone.
    #[serde(default)]
    pub history: Head,
    /// The change that waits for its confirmation, if one does: it is what is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<ConfirmStatus>,
    /// Hash of the policy in force.
    pub policy_hash: String,
    /// Number of the judgement in the kernel.
    pub generation: u32,
    /// Rules in force.
    pub rules: usize,
    /// Bans that hold.
    #[serde(default)]
    pub bans: usize,
    /// Rules that end by themselves, those that end first before the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timed_rules: Vec<TimedRule>,
    /// Who looks at live traffic now, and for what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<WatchStatus>,
    /// Whether the policy files differ from what is in force.
    pub pending: bool,
    /// How the agent's settings stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsStatus>,
    /// The policy files.
    pub files: Vec<PolicyFileStatus>,
    /// Attached interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// Interfaces that should be attached, and are not.
    pub interface_failures: Vec<InterfaceFailure>,
    /// The last attempt to put a policy in force since the agent was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<LastReload>,
    /// How full the kernel's tables are.
    pub tables: Vec<TableUse>,
    /// What went wrong at the start, and what was mended.
    pub notes: Vec<String>,
}
