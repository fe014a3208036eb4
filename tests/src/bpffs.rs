//! A BPF file system of one's own.

use std::{io, path::Path};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

/// A mounted BPF file system that vanishes with everything pinned in it when the value is dropped, also where a test
/// has failed half-way.
#[derive(Debug)]
pub struct Bpffs {
    directory: TempDir,
}

impl Bpffs {
    /// Mounts one.
    pub fn mount() -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory")?;
        mount(
            Some("bpf"),
            directory.path(),
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .map_err(io::Error::from)
        .context("cannot mount a BPF file system")?;
        Ok(Self { directory })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        if let Err(error) = umount2(self.directory.path(), MntFlags::MNT_DETACH) {
            eprintln!("cannot unmount {}: {error}", self.directory.path().display());
        }
    }
}
