//! Writes that a crash at any moment leaves either undone or done.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

/// Mode of files that only the agent reads.
pub(crate) const PRIVATE: u32 = 0o600;

/// Writes a new file and its data to disk; the directory entry is not durable before [`sync_directory`].
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts `bytes` in the place of whatever `path` holds: a reader sees the old content or the new, never a mixture. An
/// existing file's owner and mode are kept; a new one gets `mode`. A symbolic link is followed.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let path = resolve_link(path)?;
    let (directory, name) = split(&path)?;
    // Hidden, so that nothing that lists the directory takes it for the file itself.
    let partial = directory.join(format!(".{name}.{}.partial", std::process::id()));
    remove_if_there(&partial)?;
    write_new(&partial, bytes, mode)
        .and_then(|()| keep_ownership(&path, &partial))
        .and_then(|()| fs::rename(&partial, &path))
        .inspect_err(|_| {
            // The error that is reported is the first one; a left-over partial file does no harm.
            let _ = fs::remove_file(&partial);
        })?;
    sync_directory(directory)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn resolve_link(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io::ErrorKind::InvalidInput.into()),
    };
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok((directory, name)),
        None => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn keep_ownership(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = match fs::metadata(from) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let fresh = fs::metadata(to)?;
    if (metadata.uid(), metadata.gid()) != (fresh.uid(), fresh.gid()) {
        match chown(to, Some(metadata.uid()), Some(metadata.gid())) {
            // Only root gives files away: what anybody else writes is his own.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            outcome => outcome?,
        }
    }
    fs::set_permissions(to, fs::Permissions::from_mode(metadata.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("web.toml");
        replace(&path, b"one", 0o640).expect("written");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("changed");
        replace(&path, b"two", 0o640).expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"two");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o604);
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let directory = tempfile::tempdir().expect("a directory");
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "one").expect("written");
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        replace(&link, b"two", PRIVATE).expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read(&target).expect("there"), b"two");
    }

    #[test]
    fn what_cannot_be_replaced_stays_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("occupied");
        fs::create_dir(&path).expect("made");
        fs::write(path.join("inside"), "x").expect("written");
        replace(&path, b"two", PRIVATE).expect_err("a directory is in the way");
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 1);
        assert!(path.join("inside").exists());
    }
}
