//! What has to be known about the dataplane beside what the kernel can be asked.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use firewall_common::abi::ABI_VERSION;
use serde::{Deserialize, Serialize};

use super::pins::file;
use crate::{
    dataplane::{DataplaneError, ImageDigest, ModeReason, XdpMode},
    state::{durable, sha256_hex},
};

const FORMAT: u32 = 1;
const FILE: &str = "dataplane.json";

/// An interface that programs are attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InterfaceState {
    pub(super) name: String,
    pub(super) slot: u8,
    pub(super) mode: XdpMode,
    pub(super) reason: ModeReason,
    /// VLAN tags reach the programs: the policy asked for that, and no hardware takes them off.
    pub(super) vlan_tags_visible: bool,
    /// Receive VLAN offload was on before and is to be switched on again.
    pub(super) restore_vlan_offload: bool,
    /// The clsact qdisc was added for the filter and is to be removed with it.
    pub(super) remove_clsact: bool,
}

/// The file beside the revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) format: u32,
    /// ABI version of the set that it describes.
    pub(super) abi_version: u32,
    /// SHA-256 of the eBPF object that the programs come from.
    pub(super) object: String,
    /// `CONFIG_HZ`.
    pub(super) jiffies_per_second: u32,
    /// Digest of each slot's image, in hexadecimal.
    pub(super) slots: BTreeMap<u8, String>,
    /// By interface index.
    pub(super) interfaces: BTreeMap<u32, InterfaceState>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT,
            abi_version: ABI_VERSION,
            object: String::new(),
            jiffies_per_second: 0,
            slots: BTreeMap::new(),
            interfaces: BTreeMap::new(),
        }
    }
}

impl State {
    pub(super) fn set_slot(&mut self, slot: u8, digest: &ImageDigest) {
        self.slots.insert(slot, hexadecimal(digest));
    }

    pub(super) fn forget_slot(&mut self, slot: u8) {
        self.slots.remove(&slot);
    }

    /// Whether this is the image that was loaded into a slot.
    pub(super) fn is_loaded(&self, slot: u8, digest: &ImageDigest) -> bool {
        self.slots
            .get(&slot)
            .is_some_and(|loaded| *loaded == hexadecimal(digest))
    }
}

fn hexadecimal(digest: &ImageDigest) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The identity of an eBPF object.
pub(super) fn object_identity(object: &[u8]) -> String {
    sha256_hex(object)
}

/// The state file.
#[derive(Debug, Clone)]
pub(super) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            path: directory.join(FILE),
        }
    }

    /// What the file says, or `None` where there is none, one of another format, or one that cannot be read: everything
    /// in it but the offloads to restore can be found out again.
    pub(super) fn load(&self) -> Option<State> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "cannot read the dataplane's state; it is found out anew");
                return None;
            }
        };
        let state = serde_json::from_slice::<State>(&text).ok();
        state.filter(|state| state.format == FORMAT)
    }

    pub(super) fn save(&self, state: &State) -> Result<(), DataplaneError> {
        let text = serde_json::to_vec_pretty(state).map_err(|source| DataplaneError::State {
            path: self.path.clone(),
            source,
        })?;
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory).map_err(file("create", directory))?;
        }
        durable::replace(&self.path, &text, durable::PRIVATE).map_err(file("write", &self.path))
    }

    pub(super) fn remove(&self) -> Result<(), DataplaneError> {
        durable::remove_if_there(&self.path).map_err(file("remove", &self.path))
    }
}
