//! A policy on its way into a slot.

use bytemuck::{cast_slice, pod_read_unaligned};
use firewall_common::{
    abi::ABI_VERSION,
    image::{Block, ImageHeader, MAGIC},
};
use sha2::{Digest, Sha256};

use super::DataplaneError;
use crate::policy::model::Timers;

/// SHA-256 of an image's bytes.
pub type ImageDigest = [u8; 32];

/// Hash of an image, as [`LoadedSlot`] and [`super::SlotStatus`] report it.
#[must_use]
pub fn image_digest(blocks: &[Block]) -> ImageDigest {
    Sha256::digest(cast_slice::<Block, u8>(blocks)).into()
}

/// What goes into a slot: an image bound to counters and interface slots, with the policy's timers.
#[derive(Debug, Clone, Copy)]
pub struct SlotImage<'a> {
    /// The image.
    pub blocks: &'a [Block],
    /// Idle times of flows.
    pub timers: Timers,
}

/// A slot after loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadedSlot {
    /// Which one.
    pub slot: u8,
    /// Number of the judgement: flows that carry another are judged again.
    pub epoch: u32,
    /// Of the image, as it was read back.
    pub digest: ImageDigest,
    /// Whether new programs had to be loaded, because the image did not fit the map that the slot had.
    pub programs_loaded: bool,
}

/// The header of an image, if it is one that the programs of this version understand.
pub(super) fn checked_header(blocks: &[Block]) -> Result<ImageHeader, DataplaneError> {
    header(blocks)
        .filter(|header| usize::try_from(header.blocks).is_ok_and(|count| count == blocks.len()))
        .ok_or(DataplaneError::NotAnImage)
}

/// How many blocks an image says that it has, from its first ones; `None` where it is not one.
pub(super) fn blocks_said(head: &[Block]) -> Option<u32> {
    header(head).map(|header| header.blocks)
}

fn header(blocks: &[Block]) -> Option<ImageHeader> {
    cast_slice::<Block, u8>(blocks)
        .get(..size_of::<ImageHeader>())
        .map(pod_read_unaligned::<ImageHeader>)
        .filter(|header| header.magic == MAGIC && header.abi_version == ABI_VERSION)
}
