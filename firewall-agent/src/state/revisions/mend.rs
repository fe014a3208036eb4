//! Files of revisions that are damaged, and where else their texts may be found: a text that has the hash is the text.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    super::error::LostFile, FileEntry, MANIFEST, Manifest, PolicyFile, Revision, Revisions, StateError,
    policy_file, read_file, read_manifest,
};
use crate::state::{
    durable::{self, PRIVATE},
    manifest::sha256_hex,
};

impl Revisions {
    /// Reads a revision. What is damaged of it is taken from elsewhere, where that has what it had, and written anew;
    /// that is told of.
    pub(super) fn read_or_mend(
        &self,
        number: u64,
        problems: &mut Vec<StateError>,
    ) -> Result<Revision, StateError> {
        let directory = self.directory.join(number.to_string());
        let manifest = read_manifest(&directory.join(MANIFEST), number)?;
        let mut files = Vec::new();
        let mut mended = Vec::new();
        for entry in &manifest.files {
            files.push(match read_file(&directory, entry) {
                Ok(file) => file,
                Err(error) => self.mend(&directory, entry, &error, &mut mended)?,
            });
        }
        problems.append(&mut mended);
        Ok(Revision { manifest, files })
    }

    fn mend(
        &self,
        directory: &Path,
        entry: &FileEntry,
        error: &StateError,
        told: &mut Vec<StateError>,
    ) -> Result<PolicyFile, StateError> {
        let path = directory.join(&entry.stored);
        let Some((from, bytes)) = self.elsewhere(directory, entry) else {
            return Err(StateError::Lost(Box::new(LostFile {
                why: match error {
                    StateError::Damaged { why, .. } => why.clone(),
                    other => other.to_string(),
                },
                path,
                origin: entry.path.clone(),
                sha256: entry.sha256.clone(),
                older: Vec::new(),
            })));
        };
        let written = self.write_anew(&path, &bytes);
        let file = policy_file(&path, entry, bytes)?;
        told.push(match written {
            Ok(()) => StateError::Mended { path, from },
            Err(source) => StateError::Io {
                action: "mend",
                path,
                source,
            },
        });
        Ok(file)
    }

    /// The text of a file that is damaged: where it was read from, or in another revision.
    fn elsewhere(&self, directory: &Path, entry: &FileEntry) -> Option<(PathBuf, Vec<u8>)> {
        let stored = self.other_copies(directory, entry);
        let mut places = std::iter::once(entry.path.clone()).chain(stored);
        places.find_map(|place| {
            let bytes = fs::read(&place).ok()?;
            (sha256_hex(&bytes) == entry.sha256).then_some((place, bytes))
        })
    }

    fn other_copies(&self, directory: &Path, entry: &FileEntry) -> Vec<PathBuf> {
        let mut copies = Vec::new();
        for number in self.numbers().unwrap_or_default().into_iter().rev() {
            let other = self.directory.join(number.to_string());
            if other == directory {
                continue;
            }
            let manifest: Option<Manifest> = read_manifest(&other.join(MANIFEST), number).ok();
            let files = manifest.into_iter().flat_map(|manifest| manifest.files);
            let same = files.filter(|file| file.sha256 == entry.sha256);
            copies.extend(same.map(|file| other.join(file.stored)));
        }
        copies
    }

    /// Writes a file anew, for every revision that shares it.
    fn write_anew(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let damaged = inode(path);
        durable::replace(path, bytes, PRIVATE)?;
        let Some(damaged) = damaged else { return Ok(()) };
        for number in self.numbers().unwrap_or_default() {
            let directory = self.directory.join(number.to_string());
            for file in fs::read_dir(&directory)?.flatten() {
                if inode(&file.path()) == Some(damaged) {
                    link_anew(path, &file.path())?;
                }
            }
        }
        Ok(())
    }
}

pub(super) fn inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Puts a link to one file in the place of another.
fn link_anew(good: &Path, place: &Path) -> io::Result<()> {
    let directory = place.parent().unwrap_or(Path::new("/"));
    let partial = directory.join(".mended.partial");
    durable::remove_if_there(&partial)?;
    fs::hard_link(good, &partial)?;
    fs::rename(&partial, place)?;
    durable::sync_directory(directory)
}
