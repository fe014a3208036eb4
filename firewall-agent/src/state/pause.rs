//! A pause that is about to begin or to end, until the history tells of it.

use std::path::PathBuf;

use super::{StateDirectory, StateError, Unrecorded, note};

const FILE: &str = "pause.json";

/// The file `pause.json`, which is there while a pause is made or ended.
#[derive(Debug)]
pub struct PauseFile {
    path: PathBuf,
}

impl PauseFile {
    /// In a state directory.
    #[must_use]
    pub fn new(state: &StateDirectory) -> Self {
        Self {
            path: state.path().join(FILE),
        }
    }

    /// What was being made when the agent ended, if it was.
    pub fn read(&self) -> Result<Option<Unrecorded>, StateError> {
        note::read(&self.path)
    }

    /// Durable when it returns.
    pub fn write(&self, change: &Unrecorded) -> Result<(), StateError> {
        note::write(&self.path, change)
    }

    /// The history tells of it, or it was not made; durable when it returns.
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
    use crate::state::{Actor, Event, Record};

    #[test]
    fn a_note_is_there_until_it_is_cleared() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = StateDirectory::open(directory.path()).expect("free");
        let file = PauseFile::new(&state);
        assert_eq!(file.read().expect("readable"), None);
        let change = Unrecorded {
            entry: 7,
            record: Record::of(Event::Pause, Actor::new(0, None)),
        };
        file.write(&change).expect("written");
        assert_eq!(file.read().expect("readable"), Some(change));
        file.clear().expect("removed");
        file.clear().expect("nothing to do");
        assert_eq!(file.read().expect("readable"), None);
        fs::write(directory.path().join(FILE), "{").expect("ours");
        file.read().expect_err("it is damaged, and there");
    }
}
