//! Programs for a slot that holds no policy yet, loaded ahead of the policy.

use std::{fs, path::PathBuf};

use aya::Ebpf;

use super::{
    maps::Maps,
    object::{ImageMap, LoadOptions, load_programs},
    pins::{Pins, file, remove},
    programs::{SLOT, place},
};
use crate::dataplane::DataplaneError;

/// A slot on its way to an image map of a certain size and to programs that read it.
///
/// Verifying is nearly all that loading a policy costs. It needs nothing of the dataplane but what is pinned, so that
/// whoever has a [`SpareSlot`] can have it done without keeping the dataplane from others.
#[derive(Debug)]
pub struct SpareSlot {
    pub(super) slot: u8,
    blocks: u32,
    pins: Pins,
    options: LoadOptions,
    programs: Option<Ebpf>,
}

impl SpareSlot {
    pub(super) fn new(pins: &Pins, options: &LoadOptions, slot: u8, blocks: u32) -> Self {
        Self {
            slot,
            blocks,
            pins: pins.clone(),
            options: *options,
            programs: None,
        }
    }

    /// Has the kernel verify the programs. Blocks for up to some seconds; nothing is in use of them yet.
    pub fn verify(&mut self) -> Result<(), DataplaneError> {
        let next = self.next();
        remove(&next)?;
        let image = ImageMap {
            path: &next,
            blocks: self.blocks,
        };
        let mut programs = self.options.open(&self.pins, Some(image))?;
        load_programs(&mut programs, &SLOT.names())?;
        self.programs = Some(programs);
        Ok(())
    }

    /// Gives the slot its programs, and the map its place. Where this fails half-way, the slot's programs may read
    /// another map than the one in its place.
    pub(super) fn install(mut self, maps: &Maps) -> Result<(), DataplaneError> {
        if self.programs.is_none() {
            self.verify()?;
        }
        let Some(programs) = &self.programs else {
            return Err(DataplaneError::SlotEmpty { slot: self.slot });
        };
        place(programs, &maps.xdp_slots, &maps.tc_slots, &SLOT, self.slot.into())?;
        let image = self.pins.image(self.slot);
        fs::rename(self.next(), &image).map_err(file("rename to", &image))
    }

    fn next(&self) -> PathBuf {
        self.pins.next_image(self.slot)
    }
}
