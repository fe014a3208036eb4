//! Mounts of one thread.

use std::{
    fs::{self, File},
    panic::resume_unwind,
    thread,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};

/// A directory of every system that may be covered: only the thread sees it.
const ROOT: &str = "/mnt";
const BPFFS: &str = "/mnt/bpf";
/// Where to pin.
pub const PINS: &str = "/mnt/bpf/agent";
/// Where state may lie.
pub const STATE: &str = "/mnt/state";

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

/// Moves the calling thread for good into a mount namespace with a BPF file system in it, which goes with the thread
/// and with those that it starts, however they end.
pub fn enter() {
    unshare(CloneFlags::CLONE_NEWNS).expect("root may make namespaces");
    let (none, no_flags) = (None::<&str>, MsFlags::empty());
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts of one's own");
    mount(Some("tmpfs"), ROOT, Some("tmpfs"), no_flags, none).expect("a file system in memory");
    for directory in [BPFFS, STATE] {
        fs::create_dir(directory).expect("an empty file system");
    }
    mount(Some("bpf"), BPFFS, Some("bpf"), no_flags, none).expect("a BPF file system");
}
