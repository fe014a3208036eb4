//! The memory of an interpreted program: real places of this process, each of which somebody has to vouch for.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

/// What a line of the processor's caches takes.
const LINE_BYTES: u64 = 64;
/// Bytes of a word of memory that is owned here.
const WORD_BYTES: usize = size_of::<u64>();

/// What lies at a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Stack, context, packet or read-only data of the program.
    Own,
    /// A value of a map, by its key.
    Value {
        /// The map's name.
        map: String,
        key: Vec<u8>,
    },
}

#[derive(Debug)]
struct Region {
    bytes: u64,
    place: Place,
}

/// All places that a program may read and write.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By address.
    regions: BTreeMap<u64, Region>,
    owned: Vec<Box<[u64]>>,
    /// Lines of map values that were touched, counted from the value's start.
    lines: BTreeSet<(Place, u64)>,
}

impl Memory {
    /// Makes a place that holds these bytes; returns its address.
    pub(super) fn add(&mut self, place: Place, bytes: &[u8]) -> u64 {
        let mut words = vec![0; bytes.len().div_ceil(WORD_BYTES)].into_boxed_slice();
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        let address = words.as_ptr() as u64;
        self.owned.push(words);
        self.vouch(address, bytes.len() as u64, place);
        address
    }

    /// Lets programs use a place of somebody else's, which has to outlive this memory.
    pub(super) fn vouch(&mut self, address: u64, bytes: u64, place: Place) {
        self.regions.insert(address, Region { bytes, place });
    }

    fn check(&mut self, address: u64, bytes: u64) -> Result<()> {
        let found = self.regions.range(..=address).next_back();
        let found = found.filter(|(start, region)| address + bytes <= *start + region.bytes);
        let Some((start, region)) = found else {
            anyhow::bail!("{bytes} bytes at {address:#x} belong to nobody");
        };
        if region.place != Place::Own {
            let line = (address - start) / LINE_BYTES;
            self.lines.insert((region.place.clone(), line));
        }
        Ok(())
    }

    /// Reads 1, 2, 4 or 8 bytes.
    pub(super) fn load(&mut self, address: u64, bytes: u64) -> Result<u64> {
        self.check(address, bytes)?;
        // SAFETY: the bytes belong to a place that was vouched for, and nobody else uses it while a program runs.
        unsafe {
            Ok(match bytes {
                1 => (address as *const u8).read().into(),
                2 => (address as *const u16).read_unaligned().into(),
                4 => (address as *const u32).read_unaligned().into(),
                _ => (address as *const u64).read_unaligned(),
            })
        }
    }

    /// Writes the low 1, 2, 4 or 8 bytes of a value.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a store of few bytes takes the low ones"
    )]
    pub(super) fn store(&mut self, address: u64, bytes: u64, value: u64) -> Result<()> {
        self.check(address, bytes)?;
        // SAFETY: as in `load`; the places are writable, read-only data aside, which programs do not write.
        unsafe {
            match bytes {
                1 => (address as *mut u8).write(value as u8),
                2 => (address as *mut u16).write_unaligned(value as u16),
                4 => (address as *mut u32).write_unaligned(value as u32),
                _ => (address as *mut u64).write_unaligned(value),
            }
        }
        Ok(())
    }

    /// Reads many bytes.
    pub(super) fn bytes(&mut self, address: u64, count: usize) -> Result<Vec<u8>> {
        (0..count as u64)
            .map(|place| Ok(self.load(address + place, 1)?.to_le_bytes()[0]))
            .collect()
    }

    /// How many lines of which map were touched.
    pub(super) fn lines(&self) -> BTreeMap<String, usize> {
        let mut lines = BTreeMap::new();
        for (place, _) in &self.lines {
            if let Place::Value { map, .. } = place {
                *lines.entry(map.clone()).or_insert(0) += 1;
            }
        }
        lines
    }
}

/// A packet below 4 GiB, where the context's 32-bit pointers reach it.
#[derive(Debug)]
pub(super) struct LowPacket {
    start: std::ptr::NonNull<std::ffi::c_void>,
    bytes: usize,
}

const PAGE_BYTES: usize = 4096;

impl LowPacket {
    pub(super) fn new(frame: &[u8]) -> Result<Self> {
        use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
        ensure!(frame.len() <= PAGE_BYTES, "a frame of {} bytes", frame.len());
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_32BIT;
        let length = std::num::NonZeroUsize::MIN.saturating_add(PAGE_BYTES - 1);
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping of one page, which takes the place of none.
        let start = unsafe { mmap_anonymous(None, length, access, flags)? };
        // SAFETY: the page was mapped just now, and the frame is no longer than it.
        unsafe { std::ptr::copy_nonoverlapping(frame.as_ptr(), start.as_ptr().cast(), frame.len()) };
        Ok(Self {
            start,
            bytes: frame.len(),
        })
    }

    pub(super) fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes as u64
    }
}

impl Drop for LowPacket {
    fn drop(&mut self) {
        // SAFETY: the page that was mapped for it.
        let _ = unsafe { nix::sys::mman::munmap(self.start, PAGE_BYTES) };
    }
}
