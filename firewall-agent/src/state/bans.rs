//! Bans, kept until they end.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Actor, Moment, StateDirectory, StateError, Unrecorded,
    durable::{self, PRIVATE},
};

const FORMAT: u32 = 1;

/// One banned prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ban {
    /// Whom no packet comes from or goes to.
    pub prefix: IpNet,
    /// Since when.
    pub since: Timestamp,
    /// Until when; for ever where there is no such moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Who wanted it.
    pub by: Actor,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeptBans {
    /// The bans.
    pub bans: Vec<Ban>,
    /// The last change of them, as far as the file tells.
    pub change: Option<Unrecorded>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    bans: Vec<Ban>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    change: Option<Unrecorded>,
}

/// The file of bans.
#[derive(Debug)]
pub struct BanFile(PathBuf);

impl BanFile {
    /// Reads the bans. A damaged file is reported, and there are none then.
    pub fn open(state: &StateDirectory) -> (Self, KeptBans, Option<StateError>) {
        let path = state.path().join("bans.json");
        let (kept, problem) = match read(&path) {
            Ok(kept) => (kept, None),
            Err(error) => (KeptBans::default(), Some(error)),
        };
        (Self(path), kept, problem)
    }

    /// Writes the bans and what has led to them, durably.
    pub fn write(&self, bans: &[Ban], change: Option<&Unrecorded>) -> Result<(), StateError> {
        let content = Content {
            format: FORMAT,
            bans: bans.to_vec(),
            change: change.cloned(),
        };
        let text = serde_json::to_vec_pretty(&content)
            .map_err(|error| StateError::damaged(&self.0, error.to_string()))?;
        durable::replace(&self.0, &text, PRIVATE).map_err(StateError::io("write", &self.0))
    }
}

fn read(path: &Path) -> Result<KeptBans, StateError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(KeptBans::default()),
        Err(error) => return Err(StateError::io("read", path)(error)),
    };
    let content: Content =
        serde_json::from_slice(&text).map_err(|error| StateError::damaged(path, error.to_string()))?;
    if content.format != FORMAT {
        let why = format!("its format is {}, and this agent knows {FORMAT}", content.format);
        return Err(StateError::damaged(path, why));
    }
    Ok(KeptBans {
        bans: content.bans,
        change: content.change,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Event, Record};

    #[test]
    fn bans_are_read_back_and_a_damaged_file_is_told_of() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = StateDirectory::open(directory.path()).expect("free");
        let (file, kept, problem) = BanFile::open(&state);
        assert_eq!(kept, KeptBans::default(), "no file, no bans");
        assert!(problem.is_none());
        let ban = Ban {
            prefix: "192.0.2.0/24".parse().expect("a prefix"),
            since: Timestamp::now(),
            until: None,
            by: Actor::new(0, None),
            reason: Some("scans".into()),
        };
        let change = Unrecorded {
            entry: 3,
            record: Record::of(Event::Ban, Actor::new(0, None)),
        };
        for change in [None, Some(change)] {
            file.write(std::slice::from_ref(&ban), change.as_ref())
                .expect("written");
            let kept = KeptBans {
                bans: vec![ban.clone()],
                change,
            };
            assert_eq!(BanFile::open(&state).1, kept);
        }
        fs::write(directory.path().join("bans.json"), "{").expect("ours");
        let (_, kept, problem) = BanFile::open(&state);
        assert!(kept.bans.is_empty() && problem.is_some());
    }
}
