//! Bans, kept until they end.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Actor, Moment, StateDirectory, StateError,
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

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    bans: Vec<Ban>,
}

/// The file of bans.
#[derive(Debug)]
pub struct BanFile(PathBuf);

impl BanFile {
    /// Reads the bans. A damaged file is reported, and there are none then.
    pub fn open(state: &StateDirectory) -> (Self, Vec<Ban>, Option<StateError>) {
        let path = state.path().join("bans.json");
        let (bans, problem) = match read(&path) {
            Ok(bans) => (bans, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        (Self(path), bans, problem)
    }

    /// Writes the bans, durably.
    pub fn write(&self, bans: &[Ban]) -> Result<(), StateError> {
        let content = Content {
            format: FORMAT,
            bans: bans.to_vec(),
        };
        let text = serde_json::to_vec_pretty(&content)
            .map_err(|error| StateError::damaged(&self.0, error.to_string()))?;
        durable::replace(&self.0, &text, PRIVATE).map_err(StateError::io("write", &self.0))
    }
}

fn read(path: &Path) -> Result<Vec<Ban>, StateError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StateError::io("read", path)(error)),
    };
    let content: Content =
        serde_json::from_slice(&text).map_err(|error| StateError::damaged(path, error.to_string()))?;
    if content.format != FORMAT {
        let why = format!("its format is {}, and this agent knows {FORMAT}", content.format);
        return Err(StateError::damaged(path, why));
    }
    Ok(content.bans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_are_read_back_and_a_damaged_file_is_told_of() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = StateDirectory::open(directory.path()).expect("free");
        let (file, bans, problem) = BanFile::open(&state);
        assert!(bans.is_empty() && problem.is_none(), "no file, no bans");
        let ban = Ban {
            prefix: "192.0.2.0/24".parse().expect("a prefix"),
            since: Timestamp::now(),
            until: None,
            by: Actor::new(0, None),
            reason: Some("scans".into()),
        };
        file.write(std::slice::from_ref(&ban)).expect("written");
        assert_eq!(BanFile::open(&state).1, [ban]);
        fs::write(directory.path().join("bans.json"), "{").expect("ours");
        let (_, bans, problem) = BanFile::open(&state);
        assert!(bans.is_empty() && problem.is_some());
    }
}
