//! The compact form of a short chain: one map value that a first packet finds its entry in by a few reads at computed
//! places, where the tables of an image take a look-up for each step.
//!
//! It says of untagged TCP and UDP packets what the chain's tries and rows say of them. Each dimension is divided into
//! intervals in which the same entries match, with a root by eight bits of the key: nearly every root entry is one
//! interval, the others are searched. An interval has a row of 128 bits; the first bit of the AND of all rows is the
//! entry (as in [`crate::classify`]).

use bytemuck::{Pod, Zeroable};

use crate::{
    image::{BLOCK_BYTES, Block},
    opaque::{masked, reloaded},
    wire::protocol,
};

/// Most entries of a chain that has a compact form.
pub const MOST_ENTRIES: u32 = 128;
/// Most intervals of all its dimensions together; a power of two.
pub const MOST_INTERVALS: usize = 512;
/// Entries of a root.
pub const ROOT_ENTRIES: usize = 256;
/// Halvings after which an interval is found.
const MOST_HALVINGS: u32 = MOST_INTERVALS.ilog2();

/// The roots of a compact chain. Keys are as in [`crate::image::Dimension`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// Source address, by its upper eight bits.
    Source = 0,
    /// Destination address, by its upper eight bits.
    Destination = 1,
    /// Service of TCP, by the upper eight bits of the destination port.
    Tcp = 2,
    /// Service of UDP, likewise.
    Udp = 3,
    /// Source port, by its upper eight bits.
    SourcePort = 4,
}

/// Number of [`Root`]s.
pub const ROOTS: usize = 5;

/// What belongs to the chain as a whole: the first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CompactHead {
    /// Words of 64 bits of a row that are used, 1 or 2; zero where there is no compact form.
    pub words: u32,
    /// [`crate::image::ImageHeader::flags`].
    pub flags: u32,
    /// [`crate::image::ImageHeader::verdicts`].
    pub verdicts: u32,
    /// [`crate::image::ChainDescriptor::first_verdict`].
    pub first_verdict: u32,
    /// [`crate::image::ChainDescriptor::default_verdict`].
    pub default_verdict: u32,
    /// Spare.
    pub reserved: [u32; 11],
}

/// A chain in its compact form.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct CompactChain {
    /// What belongs to the whole.
    pub head: CompactHead,
    /// By [`Root`]. Lower half: number of the first interval that a key may lie in; upper half: how many there are.
    pub roots: [[u32; ROOT_ENTRIES]; ROOTS],
    /// The first key of each interval.
    pub starts: [u32; MOST_INTERVALS],
    /// Which entries match in each interval, the first ones in the lowest bits.
    pub rows: [[u64; 2]; MOST_INTERVALS],
}

/// Blocks of an image that a compact chain takes.
pub const COMPACT_BLOCKS: u32 = (size_of::<CompactChain>() / BLOCK_BYTES) as u32;

const _: () = assert!(size_of::<CompactHead>() == BLOCK_BYTES);
const _: () = assert!(size_of::<CompactChain>().is_multiple_of(BLOCK_BYTES));
const _: () = assert!(MOST_INTERVALS.is_power_of_two() && MOST_INTERVALS <= 1 << 16);

/// What a packet is looked up by.
#[derive(Debug, Clone, Copy)]
pub struct CompactKey {
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// [`protocol::TCP`] or [`protocol::UDP`].
    pub protocol: u8,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

impl CompactChain {
    /// Of the blocks of an image that it takes. `None` where they are not as many.
    #[must_use]
    pub fn of_blocks(blocks: &[Block]) -> Option<&Self> {
        bytemuck::try_from_bytes(bytemuck::cast_slice(blocks)).ok()
    }

    /// Number of the verdict record that a packet gets; `None` never.
    #[inline(always)]
    #[must_use]
    pub fn verdict(&self, key: &CompactKey) -> Option<u32> {
        let service = u32::from(key.protocol) << 16 | u32::from(key.destination_port);
        // The two roots lie side by side.
        let of_service = Root::Tcp as u32 + u32::from(key.protocol != protocol::TCP);
        let (source_port, destination_port) = (u32::from(key.source_port), u32::from(key.destination_port));
        let a = self.row(Root::Source as u32, key.source >> 24, key.source)?;
        let b = self.row(Root::Destination as u32, key.destination >> 24, key.destination)?;
        let c = self.row(of_service, destination_port >> 8, service)?;
        let d = self.row(Root::SourcePort as u32, source_port >> 8, source_port)?;
        let matched = a[0] & b[0] & c[0] & d[0];
        if matched != 0 {
            return Some(self.head.first_verdict.wrapping_add(matched.trailing_zeros()));
        }
        if reloaded(&self.head.words) > 1 {
            let matched = a[1] & b[1] & c[1] & d[1];
            if matched != 0 {
                let entry = 64 + matched.trailing_zeros();
                return Some(self.head.first_verdict.wrapping_add(entry));
            }
        }
        Some(self.head.default_verdict)
    }

    /// The row of the interval that a key lies in. No index is past the end; the masks are for the verifier.
    #[inline(always)]
    fn row(&self, root: u32, place: u32, key: u32) -> Option<&[u64; 2]> {
        const LAST: u32 = MOST_INTERVALS as u32 - 1;
        let place = root * ROOT_ENTRIES as u32 + place;
        let roots = self.roots.as_flattened();
        let entry = reloaded(roots.get(place as usize)?);
        let (mut at, mut left) = (entry & 0xffff, entry >> 16);
        let mut halvings = 0;
        while left > 1 && halvings < MOST_HALVINGS {
            let half = left >> 1;
            let middle = at.wrapping_add(half);
            if *self.starts.get(masked::<LAST>(middle as usize))? <= key {
                at = middle;
            }
            left -= half;
            halvings += 1;
        }
        self.rows.get(masked::<LAST>(at as usize))
    }
}
