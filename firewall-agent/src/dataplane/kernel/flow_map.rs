//! A flow table of the kernel, mapped a part at a time: every page that is mapped counts as this process's memory.

use std::{
    cell::OnceCell,
    io,
    os::fd::{AsFd, AsRawFd},
};

use aya::maps::MapData;
use firewall_common::{flow::Bucket, tables::Buckets};
use memmap2::{MmapOptions, MmapRaw};

/// Buckets that are mapped at once where all are read: 2 MiB.
const WINDOW_BUCKETS: u32 = 4096;
/// Buckets in a page of 4 KiB, the least that can be mapped.
const PAGE_BUCKETS: u32 = 8;

const _: () = assert!(PAGE_BUCKETS as usize * size_of::<Bucket>() == 4096);

/// One of the flow tables.
#[derive(Debug)]
pub(super) struct FlowMap {
    map: MapData,
    buckets: u32,
}

/// Some buckets that follow each other.
#[derive(Debug)]
pub(super) struct Window {
    memory: MmapRaw,
    first: u32,
    count: u32,
}

impl Window {
    #[expect(
        clippy::cast_ptr_alignment,
        reason = "a mapping starts with a page, and buckets follow each other"
    )]
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        let place = index
            .checked_sub(self.first)
            .filter(|place| *place < self.count)?;
        let bucket = self.memory.as_ptr().cast::<Bucket>().wrapping_add(place as usize);
        // SAFETY: the bucket lies in the mapping, which lives as long as `self`. It consists of words that are only
        // ever accessed atomically, any bytes are one, and pages are aligned to more than 64 bytes.
        Some(unsafe { &*bucket })
    }

    /// Its buckets.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bucket> {
        (self.first..self.first + self.count).filter_map(|index| self.bucket(index))
    }
}

impl FlowMap {
    /// An array map of so many buckets that may be mapped.
    pub(super) const fn new(map: MapData, buckets: u32) -> Self {
        Self { map, buckets }
    }

    fn window(&self, first: u32, count: u32) -> io::Result<Window> {
        let bytes = |buckets: u32| u64::from(buckets) * size_of::<Bucket>() as u64;
        let memory = MmapOptions::new()
            .offset(bytes(first))
            .len(usize::try_from(bytes(count)).map_err(io::Error::other)?)
            .map_raw(self.map.fd().as_fd().as_raw_fd())?;
        Ok(Window { memory, first, count })
    }

    /// The whole table, part by part.
    pub(super) fn windows(&self) -> impl Iterator<Item = io::Result<Window>> {
        (0..self.buckets)
            .step_by(WINDOW_BUCKETS as usize)
            .map(|first| self.window(first, WINDOW_BUCKETS.min(self.buckets - first)))
    }

    /// The buckets of one look-up.
    pub(super) const fn probe(&self) -> Probe<'_> {
        Probe {
            map: self,
            pages: [const { OnceCell::new() }; 2],
        }
    }
}

/// What one look-up reads: the page of its first bucket and that of its second one, once they are asked for.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    map: &'a FlowMap,
    pages: [OnceCell<Window>; 2],
}

impl Buckets for Probe<'_> {
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        for page in &self.pages {
            if page.get().is_none() {
                let first = index - index % PAGE_BUCKETS;
                let count = PAGE_BUCKETS.min(self.map.buckets.checked_sub(first)?);
                let _ = page.set(self.map.window(first, count).ok()?);
            }
            if let Some(bucket) = page.get().and_then(|page| page.bucket(index)) {
                return Some(bucket);
            }
        }
        None
    }
}
