//! The directory itself, and the lock on it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use super::{StateError, durable::PRIVATE};

/// The state directory, held by this agent alone until the value is dropped.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDirectory {
    /// Makes the directory if need be, and takes its lock.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        make_private(path)?;
        let lock_path = path.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .open(&lock_path)
            // What is on a file system that turned read-only can still be put in force, though not be changed.
            .or_else(|error| match error.kind() {
                io::ErrorKind::ReadOnlyFilesystem => File::open(&lock_path),
                _ => Err(error),
            })
            .map_err(StateError::io("open", &lock_path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| StateError::InUse {
            directory: path.to_owned(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a directory that only the agent may enter, with its parents.
pub(super) fn make_private(path: &Path) -> Result<(), StateError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(StateError::io("make the directory", parent))?;
    }
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(StateError::io("make the directory", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_agent_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let first = StateDirectory::open(&path).expect("free");
        assert!(matches!(
            StateDirectory::open(&path),
            Err(StateError::InUse { .. })
        ));
        drop(first);
        StateDirectory::open(&path).expect("free again");
    }
}
