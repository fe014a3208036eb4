//! Maps of the kernel, mapped into this process.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use bytemuck::Zeroable;
use firewall_common::{
    abi::SLOTS,
    capture::Viewer,
    control::{Control, SlotControl, last_viewer},
    image::Block,
    prefix_set::{PrefixTables, ROOTS},
};
use memmap2::{MmapOptions, MmapRaw};

use super::sys;
use crate::prefix_set::Memory;

/// An array map whose entries are `T`s, shared with the kernel.
#[derive(Debug)]
struct Shared<T> {
    memory: MmapRaw,
    count: usize,
    entry: std::marker::PhantomData<T>,
}

impl<T> Shared<T> {
    /// Maps `count` entries of an array map whose values are as large as a `T`.
    fn map(map: BorrowedFd<'_>, count: u32) -> io::Result<Self> {
        let count = usize::try_from(count).map_err(io::Error::other)?;
        // The kernel spaces values of an array map by their size rounded up to 8 bytes (kernel/bpf/arraymap.c).
        const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() <= 64) };
        let memory = MmapOptions::new()
            .len(size_of::<T>() * count)
            .map_raw(map.as_raw_fd())?;
        Ok(Self {
            memory,
            count,
            entry: std::marker::PhantomData,
        })
    }

    fn entry(&self, index: usize) -> Option<*mut T> {
        (index < self.count).then(|| self.memory.as_mut_ptr().cast::<T>().wrapping_add(index))
    }
}

/// The control record.
#[derive(Debug)]
pub(super) struct MappedControl(Shared<Control>);

impl MappedControl {
    pub(super) fn map(map: BorrowedFd<'_>) -> io::Result<Self> {
        Shared::map(map, 1).map(Self)
    }

    fn place(&self) -> *mut Control {
        self.0.memory.as_mut_ptr().cast()
    }

    /// A copy of the record.
    pub(super) fn read(&self) -> Control {
        // SAFETY: the mapping holds one record and lives as long as `self`; any bytes are one. Nothing but this
        // process writes it, and the programs only read it.
        let mut control = unsafe { self.place().read_volatile() };
        control.cell = self.cell();
        control
    }

    fn cell_word(&self) -> &AtomicU64 {
        // SAFETY: the cell is the first field, aligned to 8 bytes, and lives as long as `self`; this process accesses
        // it atomically.
        unsafe { AtomicU64::from_ptr((&raw mut (*self.place()).cell).cast()) }
    }

    /// The packed cell.
    pub(super) fn cell(&self) -> u64 {
        self.cell_word().load(Ordering::Acquire)
    }

    /// Puts a cell in force: one aligned store, after everything that was written before.
    pub(super) fn store_cell(&self, cell: u64) {
        self.cell_word().store(cell, Ordering::Release);
    }

    /// Writes the whole record but for the cell. Only while nothing is attached.
    pub(super) fn initialise(&self, control: &Control) {
        let blank = Control {
            cell: self.cell(),
            ..*control
        };
        // SAFETY: as for reading; no program runs yet.
        unsafe { self.place().write_volatile(blank) };
    }

    /// Writes the settings of a slot that is neither in force nor a fallback.
    pub(super) fn write_slot(&self, slot: u8, settings: &SlotControl) -> Option<()> {
        if usize::from(slot) >= Control::zeroed().slots.len() {
            return None;
        }
        // SAFETY: the slot was found to exist; no program reads it meanwhile.
        unsafe {
            (&raw mut (*self.place()).slots)
                .cast::<SlotControl>()
                .add(usize::from(slot))
                .write_volatile(*settings);
        }
        Some(())
    }

    /// Gives the flows of a slot, which may be in force, another judgement: a word of four bytes in one go.
    pub(super) fn write_epoch(&self, slot: u8, epoch: u32) -> Option<()> {
        let settings = self.slot(slot)?;
        // SAFETY: the slot was found to exist; programs read the word in one go.
        unsafe { (&raw mut (*settings).epoch).write_volatile(epoch) };
        Some(())
    }

    /// Writes the flags of a slot, which may be in force.
    pub(super) fn write_flags(&self, slot: u8, flags: u32) -> Option<()> {
        let settings = self.slot(slot)?;
        // SAFETY: as for the epoch.
        unsafe { (&raw mut (*settings).flags).write_volatile(flags) };
        Some(())
    }

    /// Says how many prefixes the ban tables have.
    pub(super) fn write_bans(&self, count: u32) {
        // SAFETY: as for reading; a word of four bytes is written in one go.
        unsafe { (&raw mut (*self.place()).bans).write_volatile(count) };
    }

    /// Says until when dropped packets are handed to a viewer; zero is not at all.
    pub(super) fn write_capture(&self, viewer: Viewer, until_ticks: u32, now_ticks: u32) {
        let mut viewers = self.read().viewer_until_ticks;
        viewers[viewer as usize] = until_ticks;
        let last = last_viewer(viewers, now_ticks);
        // SAFETY: as for reading; each word of four bytes is written in one go.
        unsafe {
            (&raw mut (*self.place()).viewer_until_ticks)
                .cast::<u32>()
                .add(viewer as usize)
                .write_volatile(until_ticks);
            (&raw mut (*self.place()).capture_until_ticks).write_volatile(last);
        }
    }

    fn slot(&self, slot: u8) -> Option<*mut SlotControl> {
        let slot = usize::from(slot);
        (slot < SLOTS).then(|| {
            // SAFETY: the place lies inside the record.
            unsafe { (&raw mut (*self.place()).slots).cast::<SlotControl>().add(slot) }
        })
    }

    /// Sets the secret of the flow table's hash. Only while there are no flows.
    pub(super) fn set_seed(&self, seed: [u64; 4]) {
        // SAFETY: as for reading; no program runs meanwhile.
        unsafe { (&raw mut (*self.place()).seed).write_volatile(seed) };
    }

    /// Sets the clock of programs that take the time from here.
    pub(super) fn set_clock(&self, ticks: u32) {
        // SAFETY: as for reading; a word of four bytes is written in one go.
        unsafe { (&raw mut (*self.place()).clock_cell_ticks).write_volatile(ticks) };
    }
}

/// The last decision that was told.
#[derive(Debug)]
pub(super) struct MappedTold(Shared<u64>);

impl MappedTold {
    pub(super) fn map(map: BorrowedFd<'_>) -> io::Result<Self> {
        Shared::map(map, 1).map(Self)
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: the mapping holds one word, aligned to 8 bytes, and lives as long as `self`; this process accesses it
        // atomically.
        unsafe { AtomicU64::from_ptr(self.0.memory.as_mut_ptr().cast()) }
    }

    pub(super) fn clear(&self) {
        self.word().store(0, Ordering::Release);
    }

    pub(super) fn read(&self) -> u64 {
        self.word().load(Ordering::Acquire)
    }
}

/// The block lists of all slots, mapped while they are read or written: to the kernel the whole of a mapping counts as
/// this process's memory.
#[derive(Debug)]
pub(super) struct MappedLists {
    root_map: OwnedFd,
    block_map: OwnedFd,
    block_count: u32,
    mapping: Option<ListMapping>,
}

#[derive(Debug)]
struct ListMapping {
    roots: Shared<u64>,
    blocks: Shared<Block>,
}

impl MappedLists {
    /// Nothing is mapped yet.
    pub(super) fn new(root_map: OwnedFd, block_map: OwnedFd, block_count: u32) -> Self {
        Self {
            root_map,
            block_map,
            block_count,
            mapping: None,
        }
    }

    /// Maps both. Until then there are no members, and nothing can be written.
    pub(super) fn map(&mut self) -> io::Result<()> {
        if self.mapping.is_none() {
            self.mapping = Some(ListMapping {
                roots: Shared::map(self.root_map.as_fd(), ROOTS)?,
                blocks: Shared::map(self.block_map.as_fd(), self.block_count)?,
            });
        }
        Ok(())
    }

    pub(super) fn unmap(&mut self) {
        self.mapping = None;
    }

    fn root_word(&self, index: u32) -> Option<&AtomicU64> {
        let root = self.mapping.as_ref()?.roots.entry(usize::try_from(index).ok()?)?;
        // SAFETY: the word lies in the mapping, aligned to 8 bytes, and lives as long as `self` is borrowed; this
        // process accesses it atomically.
        Some(unsafe { AtomicU64::from_ptr(root) })
    }

    fn entry(&self, index: u32) -> Option<*mut Block> {
        self.mapping.as_ref()?.blocks.entry(usize::try_from(index).ok()?)
    }
}

impl PrefixTables for MappedLists {
    fn root(&self, index: u32) -> u64 {
        Memory::root(self, index)
    }

    fn block(&self, index: u32) -> Option<&Block> {
        let block = self.entry(index)?;
        // SAFETY: the block lies in the mapping, which lives as long as `self` is borrowed; any bytes are one. It is only written
        // by whoever has `self` to itself.
        Some(unsafe { &*block })
    }
}

impl Memory for MappedLists {
    fn capacity(&self) -> u32 {
        self.block_count
    }

    fn root(&self, index: u32) -> u64 {
        self.root_word(index)
            .map_or(0, |root| root.load(Ordering::Acquire))
    }

    fn store_root(&self, index: u32, entry: u64) {
        if let Some(root) = self.root_word(index) {
            root.store(entry, Ordering::Release);
        }
    }

    fn block(&self, index: u32) -> Block {
        match self.entry(index) {
            // SAFETY: the block lies in the mapping; nobody but this process writes it.
            Some(block) => unsafe { block.read_volatile() },
            None => Block::zeroed(),
        }
    }

    fn write(&self, index: u32, block: &Block) {
        if let Some(place) = self.entry(index) {
            // SAFETY: the block lies in the mapping; no program knows it yet.
            unsafe { place.write_volatile(*block) };
        }
    }

    fn wait_for_readers(&self) {
        if let Err(error) = sys::grace_period() {
            tracing::error!(%error, "cannot wait for packets that still read a block list");
        }
    }
}

/// The image of a slot, mapped while it is written.
#[derive(Debug)]
pub(super) struct MappedImage(Shared<Block>);

impl MappedImage {
    pub(super) fn map(map: BorrowedFd<'_>, blocks: u32) -> io::Result<Self> {
        Shared::map(map, blocks).map(Self)
    }

    /// Writes one block, word by word; `None` where it lies outside.
    pub(super) fn write(&self, index: usize, block: &Block) -> Option<()> {
        let place = self.0.entry(index)?;
        for (word, value) in block.0.iter().enumerate() {
            // SAFETY: the block lies in the mapping and has eight words; programs read words.
            unsafe { place.cast::<u64>().add(word).write_volatile(*value) };
        }
        Some(())
    }

    /// Writes a whole image and zeroes behind it; `None` where it does not fit.
    pub(super) fn write_all(&self, blocks: &[Block]) -> Option<()> {
        if blocks.len() > self.0.count {
            return None;
        }
        for (index, block) in blocks.iter().enumerate() {
            self.write(index, block)?;
        }
        for index in blocks.len()..self.0.count {
            self.write(index, &Block::zeroed())?;
        }
        Some(())
    }
}
