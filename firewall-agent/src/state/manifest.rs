//! What is known of a revision beside its files.

use std::{fmt::Write, path::PathBuf};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SshConnection;

/// Version of the manifest's format.
pub(super) const MANIFEST_FORMAT: u32 = 1;

/// Who asked for a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// User number.
    pub uid: u32,
    /// User name at the time, if the number had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Number of the user who logged in (`/proc/PID/loginuid`): who is behind `sudo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// Name of that user at the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_user: Option<String>,
    /// The SSH connection that the request was made in, as the client says; `None` is local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SshConnection>,
}

impl Actor {
    /// A user of whom nothing else is known.
    #[must_use]
    pub const fn new(uid: u32, user: Option<String>) -> Self {
        Self {
            uid,
            user,
            login_uid: None,
            login_user: None,
            from: None,
        }
    }

    /// In a few words: `root (login alex) from 192.0.2.7:50522`.
    #[must_use]
    pub fn describe(&self) -> String {
        let name =
            |user: Option<&String>, uid: u32| user.cloned().unwrap_or_else(|| format!("user number {uid}"));
        let mut text = name(self.user.as_ref(), self.uid);
        if let Some(login) = self.login_uid.filter(|login| *login != self.uid) {
            // Writing to a string cannot fail.
            let _ = write!(text, " (login {})", name(self.login_user.as_ref(), login));
        }
        if let Some(from) = &self.from {
            let _ = write!(text, " from {}", from.client);
        }
        text
    }
}

/// What brought a revision about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The first start, from the policy files.
    FirstStart,
    /// A start that takes changed files, because a setting says so.
    Start,
    /// `fwctl reload`.
    Reload,
    /// `fwctl apply`.
    Apply,
    /// `fwctl rollback`.
    Rollback,
    /// SIGHUP.
    Signal,
    /// `fwctl rule add`.
    RuleAdd,
    /// `fwctl rule delete`.
    RuleDelete,
    /// `fwctl rule replace`.
    RuleReplace,
    /// `fwctl rule move`.
    RuleMove,
    /// `fwctl rule enable`.
    RuleEnable,
    /// `fwctl rule disable`.
    RuleDisable,
    /// Several edits at once.
    Edit,
    /// `fwctl set add`.
    SetAdd,
    /// `fwctl set delete`.
    SetDelete,
    /// `fwctl set import`.
    SetImport,
    /// Rules whose time is over.
    RuleEnd,
}

impl Cause {
    /// The word that `fwctl`, logs and manifests show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstStart => "first-start",
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Apply => "apply",
            Self::Rollback => "rollback",
            Self::Signal => "signal",
            Self::RuleAdd => "rule-add",
            Self::RuleDelete => "rule-delete",
            Self::RuleReplace => "rule-replace",
            Self::RuleMove => "rule-move",
            Self::RuleEnable => "rule-enable",
            Self::RuleDisable => "rule-disable",
            Self::Edit => "edit",
            Self::SetAdd => "set-add",
            Self::SetDelete => "set-delete",
            Self::SetImport => "set-import",
            Self::RuleEnd => "rule-end",
        }
    }
}

/// One policy file of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its name in the revision's directory.
    pub stored: String,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Whether it is a list of addresses that a policy file names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_list: bool,
}

/// Everything about a revision but the text of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the manifest; the only one is 1.
    pub format: u32,
    /// Its number.
    pub number: u64,
    /// The revision that was in force before.
    pub parent: Option<u64>,
    /// When, in UTC (RFC 3339).
    pub created: Timestamp,
    /// Who.
    pub by: Actor,
    /// How.
    pub cause: Cause,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The role that it was resolved for.
    pub role: String,
    /// The host that it was resolved for, if the inventory names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Hash of the table image that it compiled to.
    pub policy_hash: String,
    /// What changed against the parent, a rule in each line.
    pub changes: Vec<String>,
    /// Its files.
    pub files: Vec<FileEntry>,
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
