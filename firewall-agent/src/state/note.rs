//! One value in a file of its own, as JSON.

use std::{
    fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    StateDirectory, StateError,
    durable::{self, PRIVATE},
};

/// A file of the state directory that is there while something is so, and says what.
#[derive(Debug)]
pub struct Note<T> {
    path: PathBuf,
    value: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Note<T> {
    pub(super) fn new(state: &StateDirectory, file: &str) -> Self {
        Self {
            path: state.path().join(file),
            value: PhantomData,
        }
    }

    /// What is noted, if anything is. A file that cannot be read says that something is: the error has why.
    pub fn read(&self) -> Result<Option<T>, StateError> {
        read(&self.path)
    }

    /// Durable when it returns.
    pub fn write(&self, value: &T) -> Result<(), StateError> {
        write(&self.path, value)
    }

    /// Nothing is noted any more; durable when it returns.
    pub fn clear(&self) -> Result<(), StateError> {
        if !self.path.exists() {
            return Ok(());
        }
        remove(&self.path)
    }
}

/// What stands in the file, if it is there.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("read", path)(error)),
    };
    let value =
        serde_json::from_slice(&text).map_err(|error| StateError::damaged(path, error.to_string()))?;
    Ok(Some(value))
}

/// Durable when it returns.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    let text =
        serde_json::to_vec_pretty(value).map_err(|error| StateError::damaged(path, error.to_string()))?;
    durable::replace(path, &text, PRIVATE).map_err(StateError::io("write", path))
}

/// Durable when it returns; the file need not be there.
pub(super) fn remove(path: &Path) -> Result<(), StateError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    durable::remove_if_there(path)
        .and_then(|()| durable::sync_directory(directory))
        .map_err(StateError::io("remove", path))
}
