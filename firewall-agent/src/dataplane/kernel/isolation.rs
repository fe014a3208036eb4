//! Namespaces of one thread, for dataplanes that have nothing to do with the host's.

use std::{fs, io};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// A directory of every system that may be covered: only the thread sees it.
const ROOT: &str = "/mnt";
const BPFFS: &str = "/mnt/bpf";
/// Where to pin.
pub const PINS: &str = "/mnt/bpf/agent";
/// Where state may lie.
pub const STATE: &str = "/mnt/state";

/// What a thread without the right to namespaces cannot do.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct IsolationError {
    /// What was tried.
    pub action: &'static str,
    /// Cause.
    #[source]
    pub source: io::Error,
}

fn failed<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> IsolationError {
    move |source| IsolationError {
        action,
        source: source.into(),
    }
}

/// Moves the calling thread for good into a mount namespace with a BPF file system in it, which goes with the thread
/// and with those that it starts, however they end. Files that were open stay so; what lies under `/mnt` is covered.
pub fn enter_mounts() -> Result<(), IsolationError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed("make a mount namespace"))?;
    let (none, no_flags) = (None::<&str>, MsFlags::empty());
    let private = mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none);
    private.map_err(failed("have mounts of its own"))?;
    let memory = mount(Some("tmpfs"), ROOT, Some("tmpfs"), no_flags, none);
    memory.map_err(failed("mount a file system in memory"))?;
    for directory in [BPFFS, STATE] {
        fs::create_dir(directory).map_err(failed("make a directory in memory"))?;
    }
    let mounted = mount(Some("bpf"), BPFFS, Some("bpf"), no_flags, none);
    mounted.map_err(failed("mount a BPF file system"))
}

/// Moves the calling thread for good into a network namespace in which there is nothing but a `lo` that is down.
pub fn enter_network() -> Result<(), IsolationError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(failed("make a network namespace"))
}
