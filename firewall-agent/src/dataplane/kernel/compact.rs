//! The compact forms of the slots' chains, which lie in a map of their own. Each is a copy of what the slot's image has.

use aya::maps::{Array, MapData};
use firewall_common::{
    abi::names,
    compact::CompactChain,
    image::Block,
    tables::{Image, SliceImage},
};

use super::{
    maps::{map, typed},
    pins::Pins,
};
use crate::dataplane::DataplaneError;

const WORDS: usize = size_of::<CompactChain>() / size_of::<u64>();
type Words = [u64; WORDS];

/// The map.
pub(super) struct CompactMap(Array<MapData, Words>);

impl CompactMap {
    pub(super) fn open(pins: &Pins) -> Result<Self, DataplaneError> {
        typed(pins, names::COMPACT).map(Self)
    }

    /// Writes what an image has into a slot that is neither in force nor a fallback, and compares what has arrived.
    pub(super) fn write(&mut self, slot: u8, blocks: &[Block]) -> Result<(), DataplaneError> {
        self.0
            .set(slot.into(), wanted(blocks), 0)
            .map_err(map("write", names::COMPACT))?;
        if self.agrees(slot, blocks)? {
            Ok(())
        } else {
            Err(DataplaneError::ReadBack { slot })
        }
    }

    /// Whether a slot has what its image has.
    pub(super) fn agrees(&self, slot: u8, blocks: &[Block]) -> Result<bool, DataplaneError> {
        let held = self.0.get(&slot.into(), 0).map_err(map("read", names::COMPACT))?;
        Ok(held == wanted(blocks))
    }
}

/// What belongs to an image; zeroes where it has no compact form.
fn wanted(blocks: &[Block]) -> Words {
    let image = SliceImage(blocks);
    let mut words = [0; WORDS];
    if let Some(chain) = image.compact(0) {
        words.copy_from_slice(bytemuck::cast_slice(bytemuck::bytes_of(chain)));
    }
    words
}
