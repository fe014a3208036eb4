//! Confirmed revisions.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Actor, Cause, FileEntry, Manifest, StateDirectory, StateError,
    directory::make_private,
    durable::{self, PRIVATE},
    manifest::{MANIFEST_FORMAT, sha256_hex},
};
use crate::calendar;

const MANIFEST: &str = "manifest.json";

/// A policy file, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// Whether it is a list of addresses that a policy file names.
    pub is_list: bool,
}

/// A revision, read back and checked against its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// What is known of it.
    pub manifest: Manifest,
    /// Its files, in the order in which they were given.
    pub files: Vec<PolicyFile>,
}

/// What a revision is made of.
#[derive(Debug, Clone)]
pub struct NewRevision {
    /// Who.
    pub by: Actor,
    /// How.
    pub cause: Cause,
    /// Why, in the operator's words.
    pub why: Option<String>,
    /// The role that it was resolved for.
    pub role: String,
    /// The host that it was resolved for, if the inventory names it.
    pub host: Option<String>,
    /// Hash of the table image.
    pub policy_hash: String,
    /// What changed against the revision before.
    pub changes: Vec<String>,
    /// Its files.
    pub files: Vec<PolicyFile>,
}

/// What a start finds.
#[derive(Debug)]
pub struct Recovered {
    /// The last good revision.
    pub revision: Option<Revision>,
    /// What had to be passed over to get to it.
    pub problems: Vec<StateError>,
}

/// The revisions in a state directory.
#[derive(Debug)]
pub struct Revisions {
    directory: PathBuf,
    current_path: PathBuf,
    current: Option<u64>,
}

impl Revisions {
    /// Looks for the last confirmed revision. What is damaged is passed over and reported.
    pub fn open(state: &StateDirectory) -> Result<(Self, Recovered), StateError> {
        Self::open_with(state, None, true)
    }

    /// As [`Self::open`], with a revision kept that waits for its confirmation. `any_recorded` says whether the history
    /// has an entry about any revision: where none has, and `current` is not there, no revision has ever counted.
    pub fn open_with(
        state: &StateDirectory,
        waiting: Option<u64>,
        any_recorded: bool,
    ) -> Result<(Self, Recovered), StateError> {
        let directory = state.path().join("revisions");
        make_private(&directory)?;
        let mut revisions = Self {
            directory,
            current_path: state.path().join("current"),
            current: None,
        };
        let recovered = revisions.recover(waiting, any_recorded)?;
        revisions.current = recovered
            .revision
            .as_ref()
            .map(|revision| revision.manifest.number);
        Ok((revisions, recovered))
    }

    /// The number of the last confirmed revision.
    #[must_use]
    pub fn current(&self) -> Option<u64> {
        self.current
    }

    /// The numbers of all revisions, oldest first.
    pub fn numbers(&self) -> Result<BTreeSet<u64>, StateError> {
        let entries = fs::read_dir(&self.directory).map_err(StateError::io("list", &self.directory))?;
        let mut numbers = BTreeSet::new();
        for entry in entries {
            let entry = entry.map_err(StateError::io("list", &self.directory))?;
            // Other names are left-over partial revisions.
            numbers.extend(
                entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<u64>().ok()),
            );
        }
        Ok(numbers)
    }

    /// Reads a revision and checks it against its hashes.
    pub fn read(&self, number: u64) -> Result<Revision, StateError> {
        let directory = self.directory.join(number.to_string());
        let manifest = read_manifest(&directory.join(MANIFEST), number)?;
        let files = manifest
            .files
            .iter()
            .map(|entry| read_file(&directory, entry))
            .collect::<Result<_, _>>()?;
        Ok(Revision { manifest, files })
    }

    /// SHA-256 of a revision's manifest as it is stored.
    pub fn manifest_hash(&self, number: u64) -> Result<String, StateError> {
        let path = self.directory.join(number.to_string()).join(MANIFEST);
        let text = fs::read(&path).map_err(StateError::io("read", &path))?;
        Ok(sha256_hex(&text))
    }

    /// Writes a revision, durably. It does not count before [`Self::confirm`].
    pub fn write(&self, new: NewRevision) -> Result<Manifest, StateError> {
        let number = self.numbers()?.last().copied().max(self.current).unwrap_or(0) + 1;
        let partial = self.directory.join(format!(".{number}.partial"));
        remove_directory(&partial)?;
        make_private(&partial)?;
        let manifest = write_files(&partial, number, self.current, new, &self.stored_lists())
            .and_then(|manifest| self.give_name(&partial, number).map(|()| manifest));
        if manifest.is_err() {
            // The error that is reported is the first one; a left-over partial revision does no harm.
            let _ = fs::remove_dir_all(&partial);
        }
        manifest
    }

    /// Makes a revision the last confirmed one.
    pub fn confirm(&mut self, number: u64) -> Result<(), StateError> {
        durable::replace(&self.current_path, format!("{number}\n").as_bytes(), PRIVATE)
            .map_err(StateError::io("write", &self.current_path))?;
        self.current = Some(number);
        Ok(())
    }

    /// Makes the last confirmed revision the one that it was before, where a confirmation could not be ended.
    pub fn take_back(&mut self, former: Option<u64>) -> Result<(), StateError> {
        if let Some(number) = former {
            return self.confirm(number);
        }
        durable::remove_if_there(&self.current_path).map_err(StateError::io("remove", &self.current_path))?;
        self.current = None;
        Ok(())
    }

    /// Removes a revision that was never confirmed.
    pub fn discard(&self, number: u64) -> Result<(), StateError> {
        debug_assert_ne!(Some(number), self.current, "a confirmed revision is kept");
        remove_directory(&self.directory.join(number.to_string()))
    }

    /// The lists of the last confirmed revision by their hashes.
    fn stored_lists(&self) -> BTreeMap<String, PathBuf> {
        let Some(number) = self.current else {
            return BTreeMap::new();
        };
        let directory = self.directory.join(number.to_string());
        let files = read_manifest(&directory.join(MANIFEST), number)
            .map(|manifest| manifest.files)
            .unwrap_or_default();
        let lists = files.into_iter().filter(|file| file.is_list);
        lists
            .map(|file| (file.sha256, directory.join(file.stored)))
            .collect()
    }

    fn give_name(&self, partial: &Path, number: u64) -> Result<(), StateError> {
        let named = self.directory.join(number.to_string());
        fs::rename(partial, &named).map_err(StateError::io("write", &named))?;
        durable::sync_directory(&self.directory).map_err(StateError::io("write", &self.directory))
    }

    fn recover(&self, waiting: Option<u64>, any_recorded: bool) -> Result<Recovered, StateError> {
        let mut numbers = self.numbers()?;
        if let Some(waiting) = waiting {
            // It does not count unless `current` names it.
            numbers.remove(&waiting);
        }
        let mut problems = Vec::new();
        let newest = match read_current(&self.current_path) {
            Ok(None) if numbers.is_empty() => None,
            Ok(None) if !any_recorded => {
                self.discard_unconfirmed(&numbers, 0)?;
                None
            }
            Ok(None) => {
                problems.push(StateError::damaged(
                    &self.current_path,
                    "it is not there, but revisions are",
                ));
                numbers.last().copied()
            }
            Ok(Some(number)) => {
                self.discard_unconfirmed(&numbers, number)?;
                Some(number)
            }
            Err(error) => {
                problems.push(error);
                numbers.last().copied()
            }
        };
        let Some(newest) = newest else {
            return Ok(Recovered {
                revision: None,
                problems,
            });
        };
        // The newest is tried even where its directory is missing, so that the report names it.
        let older = numbers.range(..newest).rev().copied();
        for number in std::iter::once(newest).chain(older) {
            match self.read_or_mend(number, &mut problems) {
                Ok(revision) => {
                    return Ok(Recovered {
                        revision: Some(revision),
                        problems,
                    });
                }
                Err(error) => note_unusable(&mut problems, number, error),
            }
        }
        Ok(Recovered {
            revision: None,
            problems,
        })
    }

    /// A crash between writing and confirming leaves a revision that nobody has seen in force for good.
    fn discard_unconfirmed(&self, numbers: &BTreeSet<u64>, current: u64) -> Result<(), StateError> {
        for number in numbers.range(current + 1..) {
            remove_directory(&self.directory.join(number.to_string()))?;
        }
        Ok(())
    }
}

/// Revisions that share what is damaged are one problem.
fn note_unusable(problems: &mut Vec<StateError>, number: u64, error: StateError) {
    if let StateError::Lost(lost) = &error {
        let known = problems.iter_mut().find_map(|problem| match problem {
            StateError::Lost(known) if known.sha256 == lost.sha256 => Some(known),
            _ => None,
        });
        if let Some(known) = known {
            known.older.push(number);
            return;
        }
    }
    problems.push(error);
}

fn read_current(path: &Path) -> Result<Option<u64>, StateError> {
    match fs::read_to_string(path) {
        Ok(text) => match text.trim_end().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(StateError::damaged(
                path,
                "it does not hold the number of a revision",
            )),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::io("read", path)(error)),
    }
}

fn read_manifest(path: &Path, number: u64) -> Result<Manifest, StateError> {
    let text = fs::read(path).map_err(StateError::io("read", path))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| StateError::damaged(path, error.to_string()))?;
    if manifest.format != MANIFEST_FORMAT {
        let why = format!(
            "its format is {}, and this agent knows {MANIFEST_FORMAT}",
            manifest.format
        );
        return Err(StateError::damaged(path, why));
    }
    if manifest.number != number {
        return Err(StateError::damaged(
            path,
            format!("it is of revision {}", manifest.number),
        ));
    }
    Ok(manifest)
}

fn read_file(directory: &Path, entry: &FileEntry) -> Result<PolicyFile, StateError> {
    let path = directory.join(&entry.stored);
    let bytes = fs::read(&path).map_err(StateError::io("read", &path))?;
    if sha256_hex(&bytes) != entry.sha256 {
        return Err(StateError::damaged(
            &path,
            "its SHA-256 is not the one in the manifest",
        ));
    }
    policy_file(&path, entry, bytes)
}

fn policy_file(path: &Path, entry: &FileEntry, bytes: Vec<u8>) -> Result<PolicyFile, StateError> {
    let text = String::from_utf8(bytes).map_err(|error| StateError::damaged(path, error.to_string()))?;
    Ok(PolicyFile {
        path: entry.path.clone(),
        text: text.into(),
        is_list: entry.is_list,
    })
}

fn write_files(
    directory: &Path,
    number: u64,
    parent: Option<u64>,
    new: NewRevision,
    known: &BTreeMap<String, PathBuf>,
) -> Result<Manifest, StateError> {
    let mut files = Vec::new();
    for (index, file) in new.files.iter().enumerate() {
        let name = file
            .path
            .file_name()
            .map_or("policy".into(), |name| name.to_string_lossy());
        let stored = format!("{index:02}-{name}");
        let sha256 = sha256_hex(file.text.as_bytes());
        let path = directory.join(&stored);
        // A list may be large, and most revisions change none: those share it. What is damaged is not handed on.
        let has_text = |former: &&PathBuf| fs::read(former).is_ok_and(|bytes| bytes == file.text.as_bytes());
        let shared = known.get(&sha256).filter(|_| file.is_list).filter(has_text);
        if shared.is_none_or(|former| fs::hard_link(former, &path).is_err()) {
            write(&path, file.text.as_bytes())?;
        }
        files.push(FileEntry {
            path: file.path.clone(),
            stored,
            sha256,
            is_list: file.is_list,
        });
    }
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        number,
        parent,
        created: calendar::now(),
        by: new.by,
        cause: new.cause,
        why: new.why,
        role: new.role,
        host: new.host,
        policy_hash: new.policy_hash,
        changes: new.changes,
        files,
    };
    let path = directory.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| StateError::damaged(&path, error.to_string()))?;
    write(&path, &text)?;
    durable::sync_directory(directory).map_err(StateError::io("write", directory))?;
    Ok(manifest)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    durable::write_new(path, bytes, PRIVATE).map_err(StateError::io("write", path))
}

fn remove_directory(path: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StateError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

mod mend;
#[cfg(test)]
mod tests;
