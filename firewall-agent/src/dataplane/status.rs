//! What a dataplane says of itself.

use super::{AttachedInterface, DataplaneError, ImageDigest};

/// What [`super::Dataplane::adopt_or_create`] has found.
#[derive(Debug, Default)]
pub struct Adoption {
    /// Whether a dataplane of this ABI version was there; otherwise everything is new.
    pub adopted: bool,
    /// ABI version of a dataplane that was replaced while it went on filtering.
    pub replaced_abi: Option<u32>,
    /// Slots with a policy in them.
    pub slots: Vec<AdoptedSlot>,
    /// Interfaces that are attached.
    pub interfaces: Vec<AttachedInterface>,
    /// What was not as it should be, and was mended.
    pub repairs: Vec<Repair>,
    /// Interfaces whose attachment could not be mended.
    pub failures: Vec<(String, DataplaneError)>,
}

/// A slot as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedSlot {
    /// What it holds.
    pub status: SlotStatus,
    /// Whether its image is what had been loaded. False: something else has written to it; load the policy again.
    pub intact: bool,
}

/// Drift that was found and mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// A program was not attached any more.
    Reattached {
        /// To which interface.
        interface: String,
    },
    /// An interface was gone; its traces were removed.
    Forgotten {
        /// Its name.
        interface: String,
    },
    /// An attached interface was missing in the interface table, or stood there with other values.
    Registered {
        /// Its name.
        interface: String,
    },
    /// The programs of a slot were missing in a program array.
    SlotPrograms {
        /// Which slot.
        slot: u8,
    },
    /// The entry programs came from another build and were replaced in place.
    ProgramsReplaced,
}

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// Which one.
    pub slot: u8,
    /// Number of its judgement.
    pub epoch: u32,
    /// Hash of its image as it stands in the kernel.
    pub digest: ImageDigest,
    /// Blocks of its image.
    pub blocks: u32,
    /// Blocks that its map has room for.
    pub capacity: u32,
}

/// How full a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapUsage {
    /// Its name.
    pub map: String,
    /// Entries in use.
    pub entries: u64,
    /// Entries that there is room for.
    pub capacity: u64,
}

/// What [`super::Dataplane::unload`] has removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unloaded {
    /// Interfaces that were detached.
    pub interfaces: Vec<String>,
    /// Pins that were removed.
    pub pins: usize,
    /// Settings that were restored, one line each.
    pub restored: Vec<String>,
}
