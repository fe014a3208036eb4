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
    /// There are more rules than counter numbers.
    #[error("{wanted} rules need counters, and there is room for {capacity}; raise `tables.rule_counters`")]
    CountersFull {
        /// Rules of the policy.
        wanted: usize,
        /// Numbers that there are.
        capacity: usize,
    },
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
