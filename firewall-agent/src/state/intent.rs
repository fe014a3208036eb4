//! What a change is about to do to the policy files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Actor, Cause, Revision, StateDirectory, StateError, Write, durable, manifest::sha256_hex, note};

const FORMAT: u32 = 1;
const FILE: &str = "intent.json";

/// A text, by its hash where a revision has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// SHA-256 of the text.
    pub sha256: String,
    /// The text itself, where no revision has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Arc<str>>,
}

/// A policy file that is about to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntendedWrite {
    /// Where.
    pub path: PathBuf,
    /// What stands there; `None` where there is no such file.
    pub before: Option<Known>,
    /// What is to stand there; `None` where the file is to go. The revision that the change makes has the text.
    pub after: Option<String>,
}

/// A change that has begun. A start that finds one has it ended or undone, by whether its revision counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Version of the file; the only one is 1.
    pub format: u32,
    /// Who.
    pub by: Actor,
    /// How.
    pub cause: Cause,
    /// Number of the revision that counted when it began.
    pub former: Option<u64>,
    /// Files that are written along with it.
    pub writes: Vec<IntendedWrite>,
}

impl Intent {
    /// What is to be noted of a change. `has` says whether a revision that is kept has a file with a text.
    #[must_use]
    pub fn new(
        by: Actor,
        cause: Cause,
        former: Option<u64>,
        writes: &[Write],
        has: impl Fn(&Path, &str) -> bool,
    ) -> Self {
        let intended = |write: &Write| IntendedWrite {
            path: write.path.clone(),
            before: write.before.as_ref().map(|text| {
                let sha256 = sha256_hex(text.as_bytes());
                Known {
                    text: (!has(&write.path, &sha256)).then(|| text.clone()),
                    sha256,
                }
            }),
            after: write.after.as_ref().map(|text| sha256_hex(text.as_bytes())),
        };
        Self {
            format: FORMAT,
            by,
            cause,
            former,
            writes: writes.iter().map(intended).collect(),
        }
    }

    /// Whether the change has come to count: `last` is the last revision that does.
    #[must_use]
    pub fn counts(&self, last: Option<&Revision>) -> bool {
        let Some(last) = last else { return false };
        Some(last.manifest.number) != self.former
            && self.writes.iter().all(|write| {
                let recorded = last.manifest.files.iter().find(|file| file.path == write.path);
                recorded.map(|file| &file.sha256) == write.after.as_ref()
            })
    }
}

/// The file `intent.json`.
#[derive(Debug)]
pub struct IntentFile {
    path: PathBuf,
}

impl IntentFile {
    /// In a state directory.
    #[must_use]
    pub fn new(state: &StateDirectory) -> Self {
        Self {
            path: state.path().join(FILE),
        }
    }

    /// The change that had begun when the agent ended, if one had.
    pub fn read(&self) -> Result<Option<Intent>, StateError> {
        let Some(intent) = note::read::<Intent>(&self.path)? else {
            return Ok(None);
        };
        if intent.format != FORMAT {
            let why = format!("its format is {}, and this agent knows {FORMAT}", intent.format);
            return Err(StateError::damaged(&self.path, why));
        }
        Ok(Some(intent))
    }

    /// Durable when it returns.
    pub fn write(&self, intent: &Intent) -> Result<(), StateError> {
        note::write(&self.path, intent)
    }

    /// The change has ended. Need not be durable: what a start finds once more is as it should be.
    pub fn clear(&self) -> Result<(), StateError> {
        durable::remove_if_there(&self.path).map_err(StateError::io("remove", &self.path))
    }
}
