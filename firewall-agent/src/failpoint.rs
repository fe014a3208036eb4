//! Steps of a change, at each of which a test can have the agent die as if it were killed.
//!
//! Only a program that calls [`die_at`] dies: the agent that is installed never does.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A step that has just been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What is about to be written is noted in the state directory.
    IntentNoted,
    /// One policy file is written; others may follow.
    FileWritten,
    /// All policy files are written.
    FilesWritten,
    /// Rules have their counter numbers.
    CountersAssigned,
    /// The revision is on disk, and does not count yet.
    RevisionWritten,
    /// The kernel holds the policy in a slot that is not in force.
    SlotLoaded,
    /// A change that has to be confirmed is noted in the state directory.
    WindowNoted,
    /// The kernel side judges by another slot.
    Switched,
    /// Members of block lists are changed in the kernel.
    ListsChanged,
    /// The revision counts.
    RevisionCounts,
    /// The kernel side has no deadline any more.
    Kept,
    /// The note of the change that waited is gone.
    WindowCleared,
    /// The history has an entry, and its head is the one before.
    EntryAppended,
    /// The history's head is written.
    HeadWritten,
    /// The kernel side judges by what was in force before.
    WentBack,
    /// A revision that is not wanted is removed.
    RevisionDiscarded,
    /// The kernel side is in another mode.
    ModeSwitched,
    /// The mode is noted in the state directory.
    ModeNoted,
    /// The file of bans is written.
    BansWritten,
    /// The kernel holds other bans.
    BansSwitched,
    /// The note of what was to be written is gone.
    IntentCleared,
}

/// No step.
const NONE: usize = usize::MAX;

static FATAL: AtomicUsize = AtomicUsize::new(NONE);

impl Step {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::IntentNoted,
        Self::FileWritten,
        Self::FilesWritten,
        Self::CountersAssigned,
        Self::RevisionWritten,
        Self::SlotLoaded,
        Self::WindowNoted,
        Self::Switched,
        Self::ListsChanged,
        Self::RevisionCounts,
        Self::Kept,
        Self::WindowCleared,
        Self::EntryAppended,
        Self::HeadWritten,
        Self::WentBack,
        Self::RevisionDiscarded,
        Self::ModeSwitched,
        Self::ModeNoted,
        Self::BansWritten,
        Self::BansSwitched,
        Self::IntentCleared,
    ];

    /// The step of a name, which is that of the variant.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| format!("{step:?}") == name)
    }

    /// Ends the process by SIGKILL where [`die_at`] has named this step.
    pub(crate) fn done(self) {
        if FATAL.load(Ordering::Relaxed) == self as usize {
            let _ = kill(Pid::this(), Signal::SIGKILL);
            thread::sleep(Duration::MAX);
        }
    }
}

/// Has this process end by SIGKILL once a step is done. For the programs of test suites.
pub fn die_at(step: Step) {
    FATAL.store(step as usize, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_a_name_of_its_own() {
        for step in Step::ALL {
            assert_eq!(Step::named(&format!("{step:?}")), Some(step));
        }
        assert_eq!(Step::named("None"), None);
    }
}
