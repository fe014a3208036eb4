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
/// Rules that one block of a bit vector covers.
pub const RULES_PER_BLOCK: u32 = 512;
/// Most verdict records (each a conjunction of matches) in one chain. The verifier walks the scan once for each block
/// of them.
pub const MAX_CHAIN_RULES: u32 = 16 * RULES_PER_BLOCK;
/// Most blocks of a bit vector.
pub const MAX_VECTOR_BLOCKS: u32 = MAX_CHAIN_RULES.div_ceil(RULES_PER_BLOCK);

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
    /// Interval trees of failsafe addresses; a payload of 1 is a member. [`NO_BLOCK`] where there are none.
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
    /// IP protocol.
    Protocol = 2,
    /// Source port; zero where the protocol has none.
    SourcePort = 3,
    /// Destination port, or ICMP `type << 8 | code`; zero where the protocol has neither.
    DestinationPort = 4,
    /// VLAN identifier of the outermost tag, or [`UNTAGGED`].
    Vlan = 5,
}

/// Number of [`Dimension`]s that are interval trees.
pub const DIMENSIONS: usize = 6;

/// Key of a packet without a tag in [`Dimension::Vlan`].
pub const UNTAGGED: u16 = 0xffff;

/// Where a chain's tables lie. One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ChainDescriptor {
    /// Block of the [`TreeDescriptor`] of each dimension, or [`NO_BLOCK`] where no rule of the chain uses it. A
    /// tree's payload is the block number of a bit vector.
    pub trees: [u32; DIMENSIONS],
    /// Block of the first of [`crate::interface::INTERFACE_SLOTS`] bit vectors, by interface slot, or [`NO_BLOCK`].
    pub interfaces: u32,
    /// Blocks of each bit vector of this chain.
    pub vector_blocks: u32,
    /// Number of the verdict record of the chain's first rule.
    pub first_verdict: u32,
    /// Rules (verdict records) in the chain, without the default.
    pub rules: u32,
    /// Number of the verdict record of the chain's default.
    pub default_verdict: u32,
    /// A block with every bit set, which stands in for the bit vector of a dimension that no rule uses.
    pub all_ones: u32,
    /// Spare.
    pub reserved: [u32; 4],
}

const _: () = assert!(size_of::<ChainDescriptor>() == BLOCK_BYTES);

/// Most levels of an interval tree.
pub const TREE_LEVELS: usize = 10;

/// A static tree over the sorted starts of intervals that cover a whole key space. One block.
///
/// Level 0 holds every start in order, `64 / key size` to a block; level `n + 1` holds the first start of each block
/// of level `n`. Places after the last start of a level repeat it. Keys are little-endian numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct TreeDescriptor {
    /// Number of intervals; at least one.
    pub count: u32,
    /// Number of levels; at least one. The highest is a single block.
    pub levels: u32,
    /// First block of the payloads, sixteen `u32` to a block, by number of interval.
    pub payload: u32,
    /// First block of each level, level 0 first.
    pub bases: [u32; TREE_LEVELS],
    /// Spare.
    pub reserved: [u32; 3],
}

const _: () = assert!(size_of::<TreeDescriptor>() == BLOCK_BYTES);
