//! What lies beneath a root entry of IPv6: a tree of cache lines.

use super::{Entry, Kind, PrefixTables};
use crate::{address::Address, image::Block};

/// Most nodes from the top to a leaf; builders keep to it.
pub const MAX_DEPTH: u32 = 16;

/// What a node is: the lowest byte of its first word.
///
/// - Inner nodes: byte 1 counts the children, bytes 4 to 7 are the block of the first; word *n* is the last address
///   (one half of it) that does not belong to child *n* or a later one; unused words are all ones.
/// - Leaves of upper halves: bytes 1 to 7 say by how many bits each of words 1 to 7 is shifted before it is compared;
///   unused places repeat the first.
/// - Leaves of whole addresses: likewise, bytes 1 to 3 for upper and 4 to 6 for lower halves, words 1 and 2, 3 and 4,
///   5 and 6; 64 bits mean that the half does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Node {
    /// Compares upper halves.
    Upper = 1,
    /// Compares lower halves; all upper halves below it are the same.
    Lower = 2,
    /// A leaf of seven prefixes of at most 64 bits.
    Narrow = 3,
    /// A leaf of three prefixes of any length.
    Wide = 4,
}

const UPPER: u8 = Node::Upper as u8;
const LOWER: u8 = Node::Lower as u8;
const NARROW: u8 = Node::Narrow as u8;
const WIDE: u8 = Node::Wide as u8;

impl Node {
    /// What a block is as a node.
    #[must_use]
    pub const fn of(block: &Block) -> Option<Self> {
        Some(match block.0[0] as u8 {
            UPPER => Self::Upper,
            LOWER => Self::Lower,
            NARROW => Self::Narrow,
            WIDE => Self::Wide,
            _ => return None,
        })
    }
}

/// Whether an address is a member.
#[inline(always)]
pub(super) fn contains<T: PrefixTables>(tables: &T, entry: Entry, address: Address) -> bool {
    if entry.kind_number() != Kind::Tree as u8 {
        return entry.kind_number() == Kind::All as u8;
    }
    let mut place = entry.first();
    let mut depth = 0;
    while depth < MAX_DEPTH {
        let Some(block) = tables.block(place) else {
            return false;
        };
        let kind = block.0[0] as u8;
        if kind == NARROW {
            return in_narrow(block, address);
        }
        if kind == WIDE {
            return in_wide(block, address);
        }
        let half = if kind == LOWER { address.low } else { address.high };
        place = (block.0[0] >> 32) as u32 + count_below(block, half);
        depth += 1;
    }
    false
}

/// 1 where `a < b`, without a branch (Warren, Hacker's Delight, 2-12).
#[inline(always)]
const fn below(a: u64, b: u64) -> u64 {
    ((!a & b) | ((!a | b) & a.wrapping_sub(b))) >> 63
}

/// 1 where `value` is zero.
#[inline(always)]
const fn is_zero(value: u64) -> u64 {
    (value.wrapping_sub(1) & !value) >> 63
}

/// How many bounds of an inner node are below a half.
#[inline(always)]
fn count_below(block: &Block, half: u64) -> u32 {
    let [_, bounds @ ..] = &block.0;
    let mut count = 0;
    for bound in bounds {
        count += below(*bound, half);
    }
    count as u32
}

#[inline(always)]
fn in_narrow(block: &Block, address: Address) -> bool {
    let [header, keys @ ..] = &block.0;
    let mut shifts = *header;
    let mut found = 0;
    for key in keys {
        shifts >>= 8;
        found |= is_zero((key ^ address.high).wrapping_shr(shifts as u32));
    }
    found != 0
}

#[inline(always)]
fn in_wide(block: &Block, address: Address) -> bool {
    let [header, a, b, c, d, e, f, _] = block.0;
    let mut shifts = header;
    let mut found = 0;
    for (high, low) in [(a, b), (c, d), (e, f)] {
        shifts >>= 8;
        let lower_shift = shifts >> 24 & 0xff;
        // A register cannot be shifted by 64 bits, but by 63 and one.
        let lower = (low ^ address.low)
            .wrapping_shr((lower_shift - (lower_shift >> 6)) as u32)
            .wrapping_shr((lower_shift >> 6) as u32);
        found |= is_zero((high ^ address.high).wrapping_shr(shifts as u32) | lower);
    }
    found != 0
}
