//! Where things are pinned.
//!
//! ```text
//! PIN_DIR/v1/CONTROL, FLOWS, …       maps that all slots share
//! PIN_DIR/v1/IMAGE_0 … IMAGE_3       the slots' images
//! PIN_DIR/v1/fw_ingress, …           programs
//! PIN_DIR/links/xdp_7, tcx_7         links, by interface index
//! ```
//!
//! The number is the ABI version: an agent of another version puts its own set beside, and both share the links.
//! (Names on a BPF file system must not contain dots, so that interface names cannot serve.)

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use firewall_common::abi::{ABI_VERSION, names};
use nix::{
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::geteuid,
};

use crate::dataplane::DataplaneError;

/// A hook as the prefix of a link's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkKind {
    Xdp,
    Tcx,
}

impl LinkKind {
    pub(super) const ALL: [Self; 2] = [Self::Xdp, Self::Tcx];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Xdp => "xdp_",
            Self::Tcx => "tcx_",
        }
    }
}

/// The pin directory of one agent.
#[derive(Debug, Clone)]
pub(super) struct Pins {
    root: PathBuf,
}

impl Pins {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Makes the directories, on a BPF file system.
    pub(super) fn create(&self) -> Result<(), DataplaneError> {
        let nearest = self
            .root
            .ancestors()
            .find(|path| path.exists())
            .unwrap_or_else(|| Path::new("/"));
        let found = statfs(nearest).map_err(|error| file("look at", nearest)(error.into()))?;
        if found.filesystem_type() != BPF_FS_MAGIC {
            return Err(DataplaneError::NotBpffs {
                path: self.root.clone(),
            });
        }
        for directory in [self.root.clone(), self.set(), self.links()] {
            make_private(&directory)?;
        }
        Ok(())
    }

    /// The directory of this version's set.
    pub(super) fn set(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// Where a map or program is pinned.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.set().join(name)
    }

    /// Where a slot's image is pinned.
    pub(super) fn image(&self, slot: u8) -> PathBuf {
        self.path(&format!("{}_{slot}", names::IMAGE))
    }

    /// Where a slot's image is pinned while it is not yet the one that the slot's programs use.
    pub(super) fn next_image(&self, slot: u8) -> PathBuf {
        self.path(&format!("{}_{slot}_next", names::IMAGE))
    }

    /// Where a link is pinned.
    pub(super) fn link(&self, kind: LinkKind, interface: u32) -> PathBuf {
        self.links().join(format!("{}{interface}", kind.prefix()))
    }

    /// Indices of interfaces with a pinned link of this kind.
    pub(super) fn linked(&self, kind: LinkKind) -> Result<Vec<u32>, DataplaneError> {
        let names = list(&self.links())?;
        Ok(names
            .iter()
            .filter_map(|name| name.strip_prefix(kind.prefix())?.parse().ok())
            .collect())
    }

    /// Versions of sets that are not this one's.
    pub(super) fn other_versions(&self) -> Result<Vec<u32>, DataplaneError> {
        let versions = list(&self.root)?.into_iter().filter_map(|name| {
            let version = name.strip_prefix('v')?.parse().ok()?;
            (version != ABI_VERSION).then_some(version)
        });
        Ok(versions.collect())
    }

    /// Removes the set of a version.
    pub(super) fn remove_set(&self, version: u32) -> Result<usize, DataplaneError> {
        remove_tree(&self.root.join(format!("v{version}")))
    }

    /// Removes everything, the directory included; returns how many pins there were.
    pub(super) fn remove_all(&self) -> Result<usize, DataplaneError> {
        remove_tree(&self.root)
    }
}

/// Makes a directory, and sees that it is the agent's own: on a BPF file system everybody may make one first, and whoever
/// may write there could put other programs in the place of ours.
fn make_private(directory: &Path) -> Result<(), DataplaneError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(file("create", directory))?;
    let found = fs::symlink_metadata(directory).map_err(file("look at", directory))?;
    let writable_by_others = found.mode() & 0o022 != 0;
    if !found.is_dir() || found.uid() != geteuid().as_raw() || writable_by_others {
        return Err(DataplaneError::PinsExposed {
            path: directory.to_owned(),
            owner: found.uid(),
            mode: found.mode() & 0o7777,
        });
    }
    Ok(())
}

/// Removes a pin; one that is not there is no error.
pub(super) fn remove(path: &Path) -> Result<bool, DataplaneError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(file("remove", path)(error)),
    }
}

/// Says what was being done to which file.
pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataplaneError {
    move |source| DataplaneError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Names in a directory, or none where there is no directory.
fn list(directory: &Path) -> Result<Vec<String>, DataplaneError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file("list", directory)(error)),
    };
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()
        .map_err(file("list", directory))
}

fn remove_tree(directory: &Path) -> Result<usize, DataplaneError> {
    let mut removed = 0;
    for name in list(directory)? {
        let path = directory.join(name);
        if path.is_dir() {
            removed += remove_tree(&path)?;
        } else {
            removed += usize::from(remove(&path)?);
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", directory)(error)),
        _ => Ok(removed),
    }
}
