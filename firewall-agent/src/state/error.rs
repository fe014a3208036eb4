//! What can be wrong with the state directory.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Something in the state directory cannot be read, written or believed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another agent uses the directory.
    #[error("the state directory {} is in use by another agent", .directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// A file or directory cannot be used.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file does not hold what was written to it.
    #[error("{} is damaged: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file of a revision is damaged, and its text is nowhere else.
    #[error(transparent)]
    Lost(Box<LostFile>),
    /// A file of a revision was damaged, and is as it was.
    #[error("{} was damaged, and was written anew from {}, which is as it was", .path.display(), .from.display())]
    Mended {
        /// The file.
        path: PathBuf,
        /// What has the same text.
        from: PathBuf,
    },
    /// There are more rules than counter numbers.
    #[error("{wanted} rules need counters, and there is room for {capacity}; raise `tables.rule_counters`")]
    CountersFull {
        /// Rules of the policy.
        wanted: usize,
        /// Numbers that there are.
        capacity: usize,
    },
}

/// A file of a revision whose text is nowhere any more.
#[derive(Debug, thiserror::Error)]
#[error("{} is damaged: {why}{}; where {} is put back as it was, the next start takes it from there",
    .path.display(), shared(.older), .origin.display())]
pub struct LostFile {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
    /// Where its text was read from.
    pub origin: PathBuf,
    /// The hash of its text.
    pub sha256: String,
    /// Older revisions that have the same text and cannot be used either.
    pub older: Vec<u64>,
}

/// Which revisions share a damaged file, in words.
fn shared(older: &[u64]) -> String {
    match older {
        [] => String::new(),
        [one] => format!(", and revision {one} shares it"),
        [first, .., last] => format!(", and {} revisions from {last} to {first} share it", older.len()),
    }
}

impl StateError {
    /// Says what was being done to which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}
