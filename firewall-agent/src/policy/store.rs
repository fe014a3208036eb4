//! Replaces policy files on disk: the old text or the new one, never a part.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, fchown},
    path::{Path, PathBuf},
};

/// What was being done when a file could not be replaced. The original is whole in each case.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The original cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else changed the file after it was read.
    #[error("{} was changed by somebody else in the meantime", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The new text cannot be written beside the original.
    #[error("cannot write the new text beside {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The new text cannot take the place of the original.
    #[error("cannot replace {}", path.display())]
    Replace {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Replaces `old` by `new` in the file at `path`, which keeps its owner and mode. A symbolic link stays, and what it
/// points to is replaced.
pub fn replace(path: &Path, old: &str, new: &str) -> Result<(), StoreError> {
    let path = &fs::canonicalize(path).map_err(|source| StoreError::Read {
        path: path.to_owned(),
        source,
    })?;
    let current = fs::read(path).map_err(|source| StoreError::Read {
        path: path.clone(),
        source,
    })?;
    if current != old.as_bytes() {
        return Err(StoreError::Changed { path: path.clone() });
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let written = write_beside(path, folder, new);
    let written = written.map_err(|source| StoreError::Write {
        path: path.clone(),
        source,
    })?;
    let replaced = written
        .persist(path)
        .map_err(|error| error.error)
        .and_then(|_| File::open(folder)?.sync_all());
    replaced.map_err(|source| StoreError::Replace {
        path: path.clone(),
        source,
    })
}

/// A hidden file in the same folder, which vanishes unless it takes the place of the original.
fn write_beside(path: &Path, folder: &Path, text: &str) -> io::Result<tempfile::NamedTempFile> {
    let original = fs::metadata(path)?;
    let mut beside = tempfile::Builder::new()
        .prefix(".")
        .suffix(".new")
        .tempfile_in(folder)?;
    beside.write_all(text.as_bytes())?;
    let file = beside.as_file();
    match fchown(file, Some(original.uid()), Some(original.gid())) {
        // An agent that is not root gives no file away: what it writes is its own from then on.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        outcome => outcome?,
    }
    file.set_permissions(original.permissions())?;
    file.sync_all()?;
    Ok(beside)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder_with(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web.toml");
        fs::write(&path, text).expect("a file");
        (folder, path)
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).expect("a folder").count()
    }

    #[test]
    fn the_new_text_takes_the_place_of_the_old_one_and_keeps_its_mode() {
        let (folder, path) = folder_with("old");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        replace(&path, "old", "new").expect("nothing is in the way");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new");
        assert_eq!(
            fs::metadata(&path).expect("a file").permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn a_file_that_was_changed_in_the_meantime_is_left_alone() {
        let (folder, path) = folder_with("changed");
        assert!(matches!(
            replace(&path, "old", "new"),
            Err(StoreError::Changed { .. })
        ));
        assert_eq!(fs::read_to_string(&path).expect("a file"), "changed");
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let (folder, path) = folder_with("old");
        let link = folder.path().join("link.toml");
        symlink(&path, &link).expect("ours");
        replace(&link, "old", "new").expect("nothing is in the way");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new");
    }

    #[test]
    fn a_missing_file_is_not_made() {
        let (folder, path) = folder_with("old");
        let missing = path.with_file_name("db.toml");
        assert!(matches!(
            replace(&missing, "", "new"),
            Err(StoreError::Read { .. })
        ));
        assert_eq!(entries(folder.path()), 1);
    }
}
