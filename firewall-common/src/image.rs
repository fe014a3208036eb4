//! The table image: one policy as an array of 64-byte blocks, the same bytes in user space and in a slot's map.
//!
//! Block 0 is the [`ImageHeader`]; everything else is found from it by block number. An image holds no pointer and no
//! time, so that the same policy compiles to the same bytes anywhere.

use bytemuck::{Pod, Zeroable};

/// 64 bytes: a cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Block(pub [u64; 8]);

/// Bytes in a block.
pub const BLOCK_BYTES: usize = 64;
/// Entries of a chain that one word of a bit vector covers.
pub const ENTRIES_PER_WORD: u32 = 64;
/// Entries of a chain that one block of a bit vector covers.
pub const ENTRIES_PER_BLOCK: u32 = 512;
/// Most entries (each a conjunction of matches) in one chain.
pub const MAX_CHAIN_RULES: u32 = 1 << 16;

/// "FWIMAGE1" as bytes.
pub const MAGIC: u64 = u64::from_le_bytes(*b"FWIMAGE1");

/// No such block.
pub const NO_BLOCK: u32 = 0;

/// Chains of rules: direction by family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Chain {
    /// To this host, IPv4.
    InputV4 = 0,
    /// To this host, IPv6.
    InputV6 = 1,
    /// From this host, IPv4.
    OutputV4 = 2,
    /// From this host, IPv6.
    OutputV6 = 3,
    /// Forwarded, IPv4.
    ForwardV4 = 4,
    /// Forwarded, IPv6.
    ForwardV6 = 5,
}

/// Number of chains.
pub const CHAINS: usize = 6;

impl Chain {
    /// Every chain, by number.
    pub const ALL: [Self; CHAINS] = [
        Self::InputV4,
        Self::InputV6,
        Self::OutputV4,
        Self::OutputV6,
        Self::ForwardV4,
        Self::ForwardV6,
    ];
}

/// Block 0 and 1 of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ImageHeader {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`crate::abi::ABI_VERSION`].
    pub abi_version: u32,
    /// Blocks in the whole image, this header included.
    pub blocks: u32,
    /// Bits of [`image_flags`].
    pub flags: u32,
    /// Block of the [`ChainDescriptor`] of each chain.
    pub chains: [u32; CHAINS],
    /// Tries (see [`node`]) of failsafe addresses; a leaf of 1 is a member. [`NO_BLOCK`] where there are none.
    pub management_v4: u32,
    /// Likewise, IPv6.
    pub management_v6: u32,
    /// Failsafe name servers, IPv4.
    pub resolvers_v4: u32,
    /// Failsafe name servers, IPv6.
    pub resolvers_v6: u32,
    /// Forwarded networks, IPv4.
    pub forwarded_v4: u32,
    /// Forwarded networks, IPv6.
    pub forwarded_v6: u32,
    /// Failsafe TCP ports; unused places are zero.
    pub management_ports: [u16; 4],
    /// Further EtherTypes that pass; unused places are zero.
    pub ether_types: [u16; 8],
    /// Block of the first [`crate::verdict::VerdictRecord`].
    pub verdicts: u32,
    /// Number of verdict records.
    pub verdict_count: u32,
    /// Interface slots of which all traffic is forwarded, a bit each, the lower 32 slots first. Filled when an
    /// interface appears.
    pub forwarded_interfaces: [u32; 2],
    /// Spare.
    pub reserved: u32,
}

/// Blocks of the header.
pub const HEADER_BLOCKS: u32 = 2;

const _: () = assert!(size_of::<ImageHeader>() <= HEADER_BLOCKS as usize * BLOCK_BYTES);

/// Bits of [`ImageHeader::flags`].
pub mod image_flags {
    /// [`super::ImageHeader::forwarded_v4`] or `_v6` has members, or interfaces may be declared as forwarded.
    pub const FORWARDS: u32 = 1;
    /// A TCP packet in mid-flow may open a flow where a rule allows it.
    pub const MIDFLOW_PICKUP: u32 = 1 << 1;
    /// Live flows are not judged again by the rules of a new generation.
    pub const KEEP_LIVE_FLOWS: u32 = 1 << 2;
    /// ICMP redirects are left to the rules.
    pub const ALLOW_REDIRECTS: u32 = 1 << 3;
    /// IPv4 source routing is left to the rules.
    pub const ALLOW_SOURCE_ROUTING: u32 = 1 << 4;
}

/// Dimensions of a classification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dimension {
    /// Source address.
    Source = 0,
    /// Destination address.
    Destination = 1,
    /// `protocol << 16 | destination port`; ICMP has `type << 8 | code` in the place of the port, other protocols
    /// zero.
    Service = 2,
    /// Source port; zero where the protocol has none.
    SourcePort = 3,
    /// VLAN identifier of the outermost tag, or [`UNTAGGED`].
    Vlan = 4,
}

/// Number of [`Dimension`]s that are looked up in tries.
pub const DIMENSIONS: usize = 5;

/// Key of a packet without a tag in [`Dimension::Vlan`].
pub const UNTAGGED: u16 = 0xffff;

/// Where a chain's tables lie, and how its rows look. One block.
///
/// A trie leads to a row: which entries of the chain match in this dimension. The entries are put into an order in
/// which those that are alike stand together, in words of 64 places; a place may be empty.
///
/// A chain of at most [`ENTRIES_PER_BLOCK`] entries keeps their order, and a row is one block, a bit for each. In
/// longer ones a row starts with a summary, a bit for each word of its bit vector that is not zero (Baboescu and
/// Varghese, SIGCOMM 2001), in [`Self::summary_words`] words of 64 bits. The numbers of the blocks of the bit vector
/// follow, 32 bits each, in the next place on; rows share such blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ChainDescriptor {
    /// Trie (see [`node`]) of each dimension, or [`NO_BLOCK`] where no rule of the chain uses it. A leaf is the block of
    /// a row.
    pub tries: [u32; DIMENSIONS],
    /// Block of the first of [`crate::interface::INTERFACE_SLOTS`] rows, by interface slot, or [`NO_BLOCK`].
    pub interfaces: u32,
    /// Blocks of each row of this chain.
    pub row_blocks: u32,
    /// Words of 64 bits of a summary; zero where rows are bit vectors.
    pub summary_words: u32,
    /// Block of the numbers of the entries in the order of their places, 16 bits each; [`NO_BLOCK`] where that is their
    /// own order. Within a word they ascend, and words ascend by their first.
    pub order: u32,
    /// Number of the verdict record of the chain's first rule.
    pub first_verdict: u32,
    /// Entries (verdict records) in the chain, without the default.
    pub rules: u32,
    /// Number of the verdict record of the chain's default.
    pub default_verdict: u32,
    /// Block of [`MAX_ENDS`] ends of entries, in ticks of 32 bits, in ascending order; [`NO_BLOCK`] where none ends. As
    /// many blocks of rows follow in the next one, each of the entries that are left at that end. Both repeat the last
    /// one in the places left. Filled in when the image is bound.
    pub ends: u32,
    /// First block of the chain's compact form ([`crate::compact`]), or [`NO_BLOCK`].
    pub compact: u32,
    /// Spare.
    pub reserved: [u32; 2],
}

/// Most moments at which entries of one chain end.
pub const MAX_ENDS: usize = 16;
const _: () = assert!(MAX_ENDS * size_of::<u32>() == BLOCK_BYTES);

const _: () = assert!(size_of::<ChainDescriptor>() == BLOCK_BYTES);

/// Numbers in one block of [`ChainDescriptor::order`].
pub const ORDER_PER_BLOCK: u32 = 32;

/// References to the nodes of a trie, 32 bits each. Keys are little-endian numbers.
///
/// | bits | what |
/// | --- | --- |
/// | 31–30 | kind |
/// | 29–24 | shift |
/// | 23–0 | block; in a leaf bits 29–0 are what the key leads to |
pub mod node {
    /// The key ends here.
    pub const LEAF: u32 = 0;
    /// A block of the starts of consecutive intervals, in ascending order, and a block of as many references from its
    /// start on; both repeat the last one in the places left. Sixteen keys of 32 bits, or, of IPv6 addresses, eight
    /// halves of 64: the upper half with a shift of 0, else the lower.
    pub const RANK: u32 = 1;
    /// Sixteen blocks of references, by eight bits of the key (of IPv6 addresses: of the upper half) from bit `shift`
    /// up.
    pub const BYTE: u32 = 2;
    /// Of IPv4 addresses, 4096 blocks of references, by the upper sixteen bits of the key.
    pub const WIDE: u32 = 3;
    /// Of IPv6 addresses, as [`BYTE`] of the lower half.
    pub const LOW_BYTE: u32 = 3;

    /// A reference.
    #[must_use]
    pub const fn new(kind: u32, shift: u32, block: u32) -> u32 {
        kind << 30 | shift << 24 | block
    }

    /// Its kind.
    #[inline(always)]
    #[must_use]
    pub const fn kind(reference: u32) -> u32 {
        reference >> 30
    }

    /// Its shift.
    #[inline(always)]
    #[must_use]
    pub const fn shift(reference: u32) -> u32 {
        reference >> 24 & 0x3f
    }

    /// Its block.
    #[inline(always)]
    #[must_use]
    pub const fn block(reference: u32) -> u32 {
        reference & 0x00ff_ffff
    }
}

/// Most nodes on the way to a leaf in a trie of keys of up to 32 bits, the leaf included.
pub const MAX_NUMBER_STEPS: u32 = 5;
/// Most nodes on the way to a leaf in a trie of IPv6 addresses, the leaf included.
pub const MAX_V6_STEPS: u32 = 17;
