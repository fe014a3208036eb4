//! The change that is in force until it is confirmed.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, Cause, StateDirectory, StateError, note};

const FORMAT: u32 = 1;
const FILE: &str = "pending.json";

/// A policy file that is written once the change is confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// Where.
    pub path: PathBuf,
    /// What stands there; `None` where there is no such file.
    pub before: Option<Arc<str>>,
    /// What is to stand there; `None` where the file is to go.
    pub after: Option<Arc<str>>,
}

/// What has to be known of the change, should the agent be started anew before it is confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Version of the file; the only one is 1.
    pub format: u32,
    /// The revision that waits. It does not count yet.
    pub revision: u64,
    /// The revision that comes back without a confirmation, if there is one.
    pub fallback: Option<u64>,
    /// The cell as it stands in the kernel while the change waits: where another is found, nothing waits.
    pub cell: u64,
    /// How long the window is, in seconds.
    pub window_seconds: u64,
    /// When it was put in force.
    pub since: Timestamp,
    /// When it ends, by the clock of that moment.
    pub deadline: Timestamp,
    /// Who put it in force.
    pub by: Actor,
    /// How.
    pub cause: Cause,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Files that are written when it is confirmed.
    pub writes: Vec<Write>,
}

impl Pending {
    /// The version of the file that this agent writes.
    pub const FORMAT: u32 = FORMAT;
}

/// The file `pending.json`.
#[derive(Debug)]
pub struct PendingFile {
    path: PathBuf,
}

impl PendingFile {
    /// In a state directory.
    #[must_use]
    pub fn new(state: &StateDirectory) -> Self {
        Self {
            path: state.path().join(FILE),
        }
    }

    /// The change that waited when the agent ended, if one did.
    pub fn read(&self) -> Result<Option<Pending>, StateError> {
        let Some(pending) = note::read::<Pending>(&self.path)? else {
            return Ok(None);
        };
        if pending.format != FORMAT {
            let why = format!("its format is {}, and this agent knows {FORMAT}", pending.format);
            return Err(StateError::damaged(&self.path, why));
        }
        Ok(Some(pending))
    }

    /// Durable when it returns.
    pub fn write(&self, pending: &Pending) -> Result<(), StateError> {
        note::write(&self.path, pending)
    }

    /// Nothing waits any more.
    pub fn clear(&self) -> Result<(), StateError> {
        note::remove(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pending() -> Pending {
        Pending {
            format: FORMAT,
            revision: 7,
            fallback: Some(6),
            cell: u64::MAX,
            window_seconds: 60,
            since: Timestamp::UNIX_EPOCH,
            deadline: Timestamp::UNIX_EPOCH,
            by: Actor::new(0, None),
            cause: Cause::Apply,
            why: None,
            writes: vec![Write {
                path: "/etc/web.toml".into(),
                before: None,
                after: Some("layer = \"base\"\n".into()),
            }],
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_after_it_was_cleared() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = StateDirectory::open(directory.path()).expect("free");
        let file = PendingFile::new(&state);
        assert_eq!(file.read().expect("readable"), None);
        file.clear().expect("nothing to do");
        file.write(&pending()).expect("written");
        assert_eq!(file.read().expect("readable"), Some(pending()));
        file.clear().expect("removed");
        assert_eq!(file.read().expect("readable"), None);
    }

    #[test]
    fn a_damaged_file_is_told_of() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = StateDirectory::open(directory.path()).expect("free");
        for text in ["{", "{\"format\":1}"] {
            fs::write(directory.path().join(FILE), text).expect("ours");
            let read = PendingFile::new(&state).read();
            assert!(matches!(read, Err(StateError::Damaged { .. })), "{text}");
        }
    }
}
