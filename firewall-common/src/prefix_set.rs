//! Membership in sets of a million prefixes, IPv4 and IPv6, read without locks while they are changed.
//!
//! A set is a table of root entries, one for the upper 16 bits of an address, over a pool of 64-byte blocks. What a
//! root entry leads to is never written again: a change builds what is to stand there beside it and then stores one
//! word, so that a look-up, which reads one root entry, sees the set before the change or after it. Old blocks are
//! written anew only when no reader is left that can know them.
//!
//! - IPv4: beneath a root entry lie the lower 16 bits, as single addresses, as places where membership changes (the
//!   ranges of Zec, Rizzo and Mikuc, "DXR", CCR 42(5), 2012), or as a bitmap, whichever takes the fewest blocks. The
//!   numbers of a block are compared four at a time in one register, so that a block costs no branch. Up to three
//!   addresses lie in the entry itself. A million random addresses take one block each sixteen, and a look-up reads one
//!   root entry and one block.
//! - IPv6: a tree whose nodes are cache lines. An inner node compares one half of the address with seven bounds and
//!   keeps its children side by side; a leaf holds up to seven prefixes of the upper half, or three of any length. The
//!   prefixes of a set are disjoint, so that a leaf needs no order. There is no hash that a flood could aim at.

mod lanes;
mod v4;
mod v6;

pub use v6::{MAX_DEPTH, Node};

use crate::{
    abi::SLOTS,
    address::{Address, Family},
    image::Block,
};

/// Where sets lie.
pub trait PrefixTables {
    /// Root entry `index`; zero where there is none.
    fn root(&self, index: u32) -> u64;
    /// Block `index` of the pool.
    fn block(&self, index: u32) -> Option<&Block>;
}

/// Root entries of one family.
pub const FAMILY_ROOTS: u32 = 1 << 16;
/// Root entries of one slot.
pub const SLOT_ROOTS: u32 = FAMILY_ROOTS * 2;
/// Root entries of all slots.
pub const ROOTS: u32 = SLOT_ROOTS * SLOTS as u32;

/// Numbers of 16 bits in a block.
pub const LANES: usize = 32;
/// Blocks of a bitmap of 16 bits.
pub const BITMAP_BLOCKS: u32 = 128;
/// Most leaves below an index block.
pub const MAX_LEAVES: usize = LANES;

/// What a root entry leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// No address.
    None = 0,
    /// Every address.
    All = 1,
    /// One block of addresses, in any order; unused places repeat the first.
    Points = 2,
    /// One block of the last addresses before membership changes, in any order; unused places are `0xffff`.
    Toggles = 3,
    /// An index block, then leaves of sorted addresses.
    PointLeaves = 4,
    /// An index block, then leaves of sorted changes; all but the last are full.
    ToggleLeaves = 5,
    /// A bit for each address.
    Bitmap = 6,
    /// The top node of a tree.
    Tree = 7,
    /// Up to three addresses in the entry itself, in the upper 48 bits; unused places repeat another.
    Few = 8,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            1 => Self::All,
            2 => Self::Points,
            3 => Self::Toggles,
            4 => Self::PointLeaves,
            5 => Self::ToggleLeaves,
            6 => Self::Bitmap,
            7 => Self::Tree,
            8 => Self::Few,
            _ => return None,
        })
    }
}

/// A root entry: kind (8 bits), whether membership begins as true (8 bits), blocks (16 bits), first block (32 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry(pub u64);

impl Entry {
    /// No address.
    pub const NONE: Self = Self(Kind::None as u64);
    /// Every address.
    pub const ALL: Self = Self(Kind::All as u64);

    /// An entry that leads to `count` blocks from `first` on.
    #[must_use]
    pub const fn new(kind: Kind, begins_inside: bool, count: u16, first: u32) -> Self {
        Self(kind as u64 | (begins_inside as u64) << 8 | (count as u64) << 16 | (first as u64) << 32)
    }

    /// An entry of three addresses.
    #[must_use]
    pub const fn few([a, b, c]: [u16; 3]) -> Self {
        Self(Kind::Few as u64 | (a as u64) << 16 | (b as u64) << 32 | (c as u64) << 48)
    }

    /// The addresses of such an entry.
    #[must_use]
    pub const fn addresses(self) -> [u16; 3] {
        [
            (self.0 >> 16) as u16,
            (self.0 >> 32) as u16,
            (self.0 >> 48) as u16,
        ]
    }

    /// Number of the [`Kind`].
    #[inline(always)]
    #[must_use]
    pub const fn kind_number(self) -> u8 {
        self.0 as u8
    }

    /// 1 where the lowest address is a member, for kinds that count changes.
    #[inline(always)]
    #[must_use]
    pub const fn begins_inside(self) -> u64 {
        self.0 >> 8 & 1
    }

    /// Blocks that it leads to.
    #[inline(always)]
    #[must_use]
    pub const fn count(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The first of them.
    #[inline(always)]
    #[must_use]
    pub const fn first(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Number of the root entry that an address belongs to.
#[inline(always)]
#[must_use]
pub const fn root_index(slot: u8, family: Family, address: Address) -> u32 {
    let (family, upper) = match family {
        Family::V4 => (0, (address.low >> 16) as u32 & 0xffff),
        Family::V6 => (FAMILY_ROOTS, (address.high >> 48) as u32),
    };
    slot as u32 * SLOT_ROOTS + family + upper
}

/// Whether the set of a slot has an address among its members. A damaged set has fewer members.
#[inline(always)]
pub fn contains<T: PrefixTables>(tables: &T, slot: u8, family: Family, address: Address) -> bool {
    contains_under(tables, root(tables, slot, family, address), family, address)
}

/// The root entry that an address belongs to, for [`contains_under`].
#[inline(always)]
pub fn root<T: PrefixTables>(tables: &T, slot: u8, family: Family, address: Address) -> Entry {
    Entry(tables.root(root_index(slot, family, address)))
}

/// As [`contains`], from the address's root entry on.
#[inline(always)]
pub fn contains_under<T: PrefixTables>(tables: &T, root: Entry, family: Family, address: Address) -> bool {
    match family {
        Family::V4 => v4::contains(tables, root, address.low as u16),
        Family::V6 => v6::contains(tables, root, address),
    }
}
