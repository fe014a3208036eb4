//! Mounts of one thread.

use std::{fs::File, panic::resume_unwind, thread};

use firewall_agent::dataplane::isolation;
pub use firewall_agent::dataplane::isolation::{PINS, STATE};
use nix::sched::{CloneFlags, setns, unshare};

/// A mount namespace as [`enter`] makes it, for several threads. It goes with the process.
#[derive(Debug)]
pub struct Mounts(File);

impl Mounts {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        let made = thread::spawn(|| {
            enter();
            File::open("/proc/thread-self/ns/mnt").expect("a namespace")
        });
        Self(made.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Moves the calling thread there, for good. Threads and processes that it starts are there, too.
    pub fn enter(&self) {
        unshare(CloneFlags::CLONE_FS).expect("a root directory of its own");
        setns(&self.0, CloneFlags::CLONE_NEWNS).expect("root may enter a namespace");
    }
}

impl Default for Mounts {
    fn default() -> Self {
        Self::new()
    }
}

/// Moves the calling thread for good into a mount namespace, see [`isolation::enter_mounts`].
pub fn enter() {
    isolation::enter_mounts().expect("root may make namespaces");
}
