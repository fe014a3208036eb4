//! Policies in slots: loading, reading back, switching.

use std::{os::fd::AsFd, path::PathBuf};

use aya::maps::MapData;
use bytemuck::{Zeroable, pod_read_unaligned};
use firewall_common::{
    abi::{SLOTS, names},
    cell::Cell,
    control::{Control, SlotControl, slot_flags},
    image::{BLOCK_BYTES, Block, HEADER_BLOCKS},
};

use super::{
    mapped::MappedImage,
    maps::{Maps, map},
    object::{ImageMap, LoadOptions},
    pins::{Pins, file, remove},
    programs::{SLOT, are_filled, fill},
    spare::SpareSlot,
    sys::{self, ElementSizes},
};
use crate::{
    compile::{MAX_IMAGE_BLOCKS, timeouts::timeouts},
    dataplane::{
        ClockReading, DataplaneError, ImageDigest, LoadedSlot, SlotImage, SlotStatus,
        generation::{blocks_said, checked_header},
        image_digest,
    },
};

/// Smallest image map: 64 KiB, so that small policies never need another.
const LEAST_BLOCKS: u32 = 1024;

/// Elements read in one system call.
const BATCH: u32 = 4096;

/// The map that a slot's programs read.
#[derive(Debug)]
pub(super) struct Image {
    map: MapData,
    path: PathBuf,
    capacity: u32,
}

impl Image {
    fn open(pins: &Pins, slot: u8) -> Result<Self, DataplaneError> {
        let path = pins.image(slot);
        let info = aya::maps::MapInfo::from_pin(&path).map_err(map("look at", names::IMAGE))?;
        let opened = MapData::from_pin(&path).map_err(map("open", names::IMAGE))?;
        let capacity = info.max_entries();
        if usize::try_from(info.value_size()) != Ok(BLOCK_BYTES) || capacity < HEADER_BLOCKS {
            return Err(DataplaneError::MissingMap { map: names::IMAGE });
        }
        Ok(Self {
            map: opened,
            path,
            capacity,
        })
    }

    /// Its memory, to be written: mapped for no longer, since all of it counts as this process's.
    fn mapped(&self) -> Result<MappedImage, DataplaneError> {
        MappedImage::map(self.map.fd().as_fd(), self.capacity).map_err(file("map", &self.path))
    }

    /// Reads blocks by system calls: what the kernel has, not what this process has mapped.
    fn read(&self, count: u32) -> Result<Vec<Block>, DataplaneError> {
        let sizes = ElementSizes {
            key: size_of::<u32>(),
            value: BLOCK_BYTES,
        };
        let mut cursor = Vec::new();
        let mut blocks = Vec::new();
        let mut left = count;
        while left > 0 {
            let wanted = BATCH.min(left);
            left -= wanted;
            let (_, values) =
                sys::lookup_batch(self.map.fd().as_fd(), sizes, wanted, &mut cursor).map_err(|source| {
                    DataplaneError::Syscall {
                        action: "read back an image",
                        source,
                    }
                })?;
            blocks.extend(values.chunks_exact(BLOCK_BYTES).map(pod_read_unaligned::<Block>));
            if cursor.is_empty() {
                break;
            }
        }
        Ok(blocks)
    }

    /// The image that the map holds, as long as its header says.
    fn read_whole(&self) -> Result<Vec<Block>, DataplaneError> {
        let head = self.read(HEADER_BLOCKS)?;
        let said = blocks_said(&head).unwrap_or(HEADER_BLOCKS);
        self.read(said.clamp(HEADER_BLOCKS, self.capacity))
    }
}

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Slots {
    images: [Option<Image>; SLOTS],
}

/// What it takes to load programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loading<'a> {
    pub(super) pins: &'a Pins,
    pub(super) options: &'a LoadOptions,
}

impl Slots {
    /// Opens the images of slots that hold a policy. Others were left half-way by an agent that was killed: their
    /// programs may read another map than the one that is pinned, so they get both anew.
    pub(super) fn open(pins: &Pins, control: &Control) -> Result<Self, DataplaneError> {
        let mut slots = Self::default();
        for (slot, place) in (0u8..).zip(&mut slots.images) {
            remove(&pins.next_image(slot))?;
            if settings(control, slot).flags & slot_flags::LOADED != 0 {
                *place = Some(Image::open(pins, slot)?);
            } else {
                remove(&pins.image(slot))?;
            }
        }
        Ok(slots)
    }

    /// The image of a slot that holds a policy.
    fn held(&self, control: &Control, slot: u8) -> Result<&Image, DataplaneError> {
        let is_loaded = control
            .slots
            .get(usize::from(slot))
            .is_some_and(|slot| slot.flags & slot_flags::LOADED != 0);
        self.images
            .get(usize::from(slot))
            .and_then(Option::as_ref)
            .filter(|_| is_loaded)
            .ok_or(DataplaneError::SlotEmpty { slot })
    }

    /// Fails where a slot holds no policy.
    pub(super) fn check_loaded(&self, control: &Control, slot: u8) -> Result<(), DataplaneError> {
        self.held(control, slot).map(drop)
    }

    pub(super) fn read_back(&self, control: &Control, slot: u8) -> Result<Vec<Block>, DataplaneError> {
        self.held(control, slot)?.read_whole()
    }

    pub(super) fn status(&self, control: &Control, slot: u8) -> Result<Option<SlotStatus>, DataplaneError> {
        let Ok(image) = self.held(control, slot) else {
            return Ok(None);
        };
        let blocks = image.read_whole()?;
        Ok(Some(SlotStatus {
            slot,
            epoch: settings(control, slot).epoch,
            digest: image_digest(&blocks),
            blocks: u32::try_from(blocks.len()).unwrap_or(image.capacity),
            capacity: image.capacity,
        }))
    }

    /// Writes an image and its settings into a free slot, with new programs where it does not fit the slot's map.
    pub(super) fn load(
        &mut self,
        loading: Loading<'_>,
        maps: &mut Maps,
        clock: ClockReading,
        image: &SlotImage<'_>,
        keep: &[u8],
    ) -> Result<LoadedSlot, DataplaneError> {
        let header = checked_header(image.blocks)?;
        let needed = header.blocks;
        if needed > MAX_IMAGE_BLOCKS {
            return Err(DataplaneError::ImageTooLarge {
                blocks: image.blocks.len(),
                limit: MAX_IMAGE_BLOCKS,
            });
        }
        let control = maps.control.read();
        let slot = self.free(&control, keep, needed)?;
        let epoch = next_epoch(&control);
        // The number is used up from here on, also where loading fails.
        empty(maps, slot, epoch)?;
        let programs_loaded = !self.is_ready(maps, slot, needed)?;
        if programs_loaded {
            self.grow(loading, maps, slot, needed)?;
        }
        let digest = self.write(slot, image.blocks)?;
        maps.compact.write(slot, image.blocks)?;
        let settings = SlotControl {
            epoch,
            flags: slot_flags::LOADED,
            management_ports: header.management_ports,
            timeouts_ticks: timeouts(&image.timers, clock.scale),
        };
        write_settings(maps, slot, &settings)?;
        Ok(LoadedSlot {
            slot,
            epoch,
            digest,
            programs_loaded,
        })
    }

    /// A slot that may be written; rather one whose map the image fits.
    fn free(&self, control: &Control, keep: &[u8], needed: u32) -> Result<u8, DataplaneError> {
        let cell = Cell::unpack(control.cell);
        let is_free = |slot: &u8| *slot != cell.slot && *slot != cell.fallback && !keep.contains(slot);
        let mut free: Vec<u8> = (0u8..).take(SLOTS).filter(is_free).collect();
        free.sort_by_key(|slot| !self.fits(*slot, needed));
        free.first().copied().ok_or(DataplaneError::NoFreeSlot)
    }

    fn fits(&self, slot: u8, needed: u32) -> bool {
        self.images
            .get(usize::from(slot))
            .and_then(Option::as_ref)
            .is_some_and(|image| image.capacity >= needed)
    }

    /// Whether a slot has programs, and a map that the image fits.
    fn is_ready(&self, maps: &Maps, slot: u8, needed: u32) -> Result<bool, DataplaneError> {
        Ok(self.fits(slot, needed) && has_programs(maps, slot)?)
    }

    /// Gives a slot a map of the next size that `needed` blocks fit, and programs that read it.
    fn grow(
        &mut self,
        loading: Loading<'_>,
        maps: &Maps,
        slot: u8,
        needed: u32,
    ) -> Result<(), DataplaneError> {
        let spare = SpareSlot::new(loading.pins, loading.options, slot, capacity(needed));
        self.install(loading.pins, maps, spare)
    }

    /// The slot that the next load of so many blocks is going to take, emptied; `None` where it is ready as it is.
    pub(super) fn spare(
        &mut self,
        loading: Loading<'_>,
        maps: &Maps,
        needed: u32,
    ) -> Result<Option<SpareSlot>, DataplaneError> {
        let control = maps.control.read();
        let slot = self.free(&control, &[], needed)?;
        if self.is_ready(maps, slot, needed)? {
            return Ok(None);
        }
        empty(maps, slot, settings(&control, slot).epoch)?;
        self.set_image(slot, None);
        Ok(Some(SpareSlot::new(
            loading.pins,
            loading.options,
            slot,
            capacity(needed),
        )))
    }

    /// Takes a spare slot into use.
    pub(super) fn install(
        &mut self,
        pins: &Pins,
        maps: &Maps,
        spare: SpareSlot,
    ) -> Result<(), DataplaneError> {
        let slot = spare.slot;
        // Where this fails half-way, the slot's programs may read either map.
        self.set_image(slot, None);
        spare.install(maps)?;
        self.set_image(slot, Some(Image::open(pins, slot)?));
        Ok(())
    }

    fn set_image(&mut self, slot: u8, image: Option<Image>) {
        if let Some(place) = self.images.get_mut(usize::from(slot)) {
            *place = image;
        }
    }

    /// Writes an image and compares what has arrived.
    fn write(&self, slot: u8, blocks: &[Block]) -> Result<ImageDigest, DataplaneError> {
        let image = self.images.get(usize::from(slot)).and_then(Option::as_ref);
        let image = image.ok_or(DataplaneError::SlotEmpty { slot })?;
        image
            .mapped()?
            .write_all(blocks)
            .ok_or(DataplaneError::ImageTooLarge {
                blocks: blocks.len(),
                limit: image.capacity,
            })?;
        let digest = image_digest(blocks);
        if image_digest(&image.read_whole()?) == digest {
            Ok(digest)
        } else {
            Err(DataplaneError::ReadBack { slot })
        }
    }

    /// Writes single blocks; returns the digest of the image afterwards.
    pub(super) fn patch(
        &self,
        control: &Control,
        slot: u8,
        patch: &[(u32, Block)],
    ) -> Result<ImageDigest, DataplaneError> {
        let image = self.held(control, slot)?;
        let mut wanted = image.read_whole()?;
        for (index, block) in patch {
            let place = wanted.get_mut(*index as usize);
            *place.ok_or(DataplaneError::PatchOutside {
                slot,
                blocks: image.capacity,
                block: *index,
            })? = *block;
        }
        let memory = image.mapped()?;
        for (index, block) in patch {
            // It was found to lie inside.
            let _ = memory.write(*index as usize, block);
        }
        let digest = image_digest(&wanted);
        if image_digest(&image.read_whole()?) == digest {
            Ok(digest)
        } else {
            Err(DataplaneError::ReadBack { slot })
        }
    }

    /// Loads the programs of a slot anew, for the image that it has.
    pub(super) fn reload_programs(
        &self,
        loading: Loading<'_>,
        maps: &Maps,
        slot: u8,
    ) -> Result<(), DataplaneError> {
        let image = self.images.get(usize::from(slot)).and_then(Option::as_ref);
        let image = image.ok_or(DataplaneError::SlotEmpty { slot })?;
        let path = loading.pins.image(slot);
        let map = ImageMap {
            path: &path,
            blocks: image.capacity,
        };
        load_programs(loading, maps, slot, map)
    }

    /// Blocks in use and capacity of each slot that has a map.
    pub(super) fn usage(&self, control: &Control) -> Result<Vec<(u8, u32, u32)>, DataplaneError> {
        let mut usage = Vec::new();
        for (slot, image) in (0u8..).zip(&self.images) {
            if let Some(image) = image {
                let is_loaded = settings(control, slot).flags & slot_flags::LOADED != 0;
                let head = image.read(HEADER_BLOCKS)?;
                let blocks = blocks_said(&head).filter(|_| is_loaded).unwrap_or(0);
                usage.push((slot, blocks.min(image.capacity), image.capacity));
            }
        }
        Ok(usage)
    }
}

/// Whether both hooks have all programs of a slot.
pub(super) fn has_programs(maps: &Maps, slot: u8) -> Result<bool, DataplaneError> {
    are_filled(&maps.xdp_slots, &maps.tc_slots, &SLOT, slot.into())
}

fn load_programs(
    loading: Loading<'_>,
    maps: &Maps,
    slot: u8,
    image: ImageMap<'_>,
) -> Result<(), DataplaneError> {
    let mut ebpf = loading.options.open(loading.pins, Some(image))?;
    fill(&mut ebpf, &maps.xdp_slots, &maps.tc_slots, &SLOT, slot.into())
}

pub(super) fn settings(control: &Control, slot: u8) -> SlotControl {
    control
        .slots
        .get(usize::from(slot))
        .copied()
        .unwrap_or_else(SlotControl::zeroed)
}

fn write_settings(maps: &Maps, slot: u8, settings: &SlotControl) -> Result<(), DataplaneError> {
    maps.control
        .write_slot(slot, settings)
        .ok_or(DataplaneError::SlotEmpty { slot })
}

/// Takes the policy out of a slot that may be written, before anything in it is changed.
fn empty(maps: &Maps, slot: u8, epoch: u32) -> Result<(), DataplaneError> {
    // Packets that have read the cell while it named this slot are through afterwards.
    sys::grace_period().map_err(|source| DataplaneError::Syscall {
        action: "wait for packets that still use a slot",
        source,
    })?;
    let emptied = SlotControl {
        epoch,
        ..SlotControl::zeroed()
    };
    write_settings(maps, slot, &emptied)
}

/// Blocks of the map for an image of `needed` blocks.
fn capacity(needed: u32) -> u32 {
    needed.next_power_of_two().max(LEAST_BLOCKS)
}

/// Unique, since the newest epoch always stands in some slot: each load writes one more than all there are.
pub(super) fn next_epoch(control: &Control) -> u32 {
    control.slots.iter().map(|slot| slot.epoch).max().unwrap_or(0) + 1
}
