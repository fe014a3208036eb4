//! That the host is in panic, over restarts of the machine.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Actor, Note, StateDirectory};

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

impl Panic {
    /// The file `panic.json`, which is there while the host is in panic.
    #[must_use]
    pub fn note(state: &StateDirectory) -> Note<Self> {
        Note::new(state, FILE)
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
        let file = Panic::note(&state);
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
