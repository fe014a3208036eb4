//! Whether files can have changed since they were last read. A block list may be large, and is looked after every few
//! seconds.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::known_file::KnownFile;

/// Two changes closer than this may leave one time of change.
const RESOLUTION: Duration = Duration::from_secs(2);

/// What the file system says of files: where they lie, their sizes and when they were changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<[i64; 5]>);

impl Stamps {
    /// Of files and of the folders that further ones may appear in. `None` where one is missing or has changed so
    /// recently that a further change might not show.
    pub(super) fn of(folders: &[PathBuf], files: &[KnownFile]) -> Option<Self> {
        let paths = folders.iter().map(PathBuf::as_path);
        let paths = paths.chain(files.iter().map(|file| file.path.as_path()));
        paths.map(stamp).collect::<Option<_>>().map(Self)
    }
}

fn stamp(path: &Path) -> Option<[i64; 5]> {
    let found = fs::metadata(path).ok()?;
    let age = SystemTime::now().duration_since(found.modified().ok()?).ok()?;
    (age > RESOLUTION).then(|| {
        [
            found.ino().cast_signed(),
            found.size().cast_signed(),
            found.ctime(),
            found.ctime_nsec(),
            found.dev().cast_signed(),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::PolicyFile;

    #[test]
    fn what_has_not_changed_has_the_same_stamp_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("drop.txt");
        fs::write(&path, "1").expect("ours");
        let files = [KnownFile::from(&PolicyFile {
            path: path.clone(),
            text: "1".into(),
            is_list: true,
        })];
        assert_eq!(Stamps::of(&[], &files), None, "it has just changed");
        let age = |days: u64| {
            let file = fs::File::options().write(true).open(&path).expect("ours");
            let then = SystemTime::now() - Duration::from_hours(24 * days);
            file.set_modified(then).expect("ours");
        };
        age(1);
        let first = Stamps::of(&[], &files);
        assert!(first.is_some() && first == Stamps::of(&[], &files));
        fs::write(&path, "22").expect("ours");
        age(1);
        assert_ne!(first, Stamps::of(&[], &files));
        fs::remove_file(&path).expect("ours");
        assert_eq!(Stamps::of(&[], &files), None);
    }
}
