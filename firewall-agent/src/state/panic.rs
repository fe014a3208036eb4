//! That the host is in panic, over restarts of the machine.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Actor, StateDirectory, StateError, note};

const FILE: &str = "panic.json";

/// Who has the host in panic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panic {
    /// Since when.
    pub since: Timestamp,
    /// Who.
    pub by: Actor,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The file `panic.json`, which is there while the host is in panic.
#[derive(Debug)]
pub struct PanicFile {
    path: PathBuf,
}

impl PanicFile {
    /// In a state directory.
    #[must_use]
    pub fn new(state: &StateDirectory) -> Self {
        Self {
            path: state.path().join(FILE),
        }
    }

    /// Whether the host is in panic, as far as is known. A file that cannot be read says that it is: the error has why.
    pub fn read(&self) -> Result<Option<Panic>, StateError> {
        note::read(&self.path)
    }

    /// Durable when it returns.
    pub fn write(&self, panic: &Panic) -> Result<(), StateError> {
        note::write(&self.path, panic)
    }

    /// The host is not in panic any more; durable when it returns.
    pub fn clear(&self) -> Result<(), StateError> {
        if !self.path.exists() {
            return Ok(());
        }
        note::remove(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn panic_is_on_until_it_is_cleared() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = StateDirectory::open(directory.path()).expect("free");
        let file = PanicFile::new(&state);
        assert_eq!(file.read().expect("readable"), None);
        let panic = Panic {
            since: Timestamp::UNIX_EPOCH,
            by: Actor::new(0, None),
            why: Some("somebody is in".into()),
        };
        file.write(&panic).expect("written");
        assert_eq!(file.read().expect("readable"), Some(panic));
        file.clear().expect("removed");
        file.clear().expect("nothing to do");
        assert_eq!(file.read().expect("readable"), None);
        fs::write(directory.path().join(FILE), "{").expect("ours");
        file.read().expect_err("it is damaged, and there");
    }
}
