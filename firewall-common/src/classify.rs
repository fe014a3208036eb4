//! First match of a packet over the rules of a chain.
//!
//! Each dimension that the chain uses maps a header field to a bit vector over the rules; the verdict is the first
//! bit of their AND (Lakshman and Stiliadis, SIGCOMM 1998). Dimensions that no rule uses cost one comparison.

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use crate::{
    address::{Address, Family},
    image::{
        Block, CHAINS, Chain, ChainDescriptor, Dimension, ImageHeader, MAX_CHAIN_RULES, MAX_VECTOR_BLOCKS,
        NO_BLOCK, RULES_PER_BLOCK,
    },
    interface::INTERFACE_SLOTS,
    interval,
    opaque::incremented,
    tables::Image,
    verdict::{VERDICTS_PER_BLOCK, VerdictRecord},
};

/// The fields of a packet that rules speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchKey {
    /// IP version; decides which of the family's chains is asked.
    pub family: Family,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// IP protocol, after the extension headers.
    pub protocol: u8,
    /// Source port, or zero.
    pub source_port: u16,
    /// Destination port, ICMP `type << 8 | code`, or zero.
    pub destination_port: u16,
    /// VLAN identifier of the outermost tag, or [`crate::image::UNTAGGED`].
    pub vlan: u16,
    /// [`crate::interface::InterfaceRecord::slot`].
    pub interface_slot: u8,
}

/// The image's header. `None` only where the image is damaged.
#[inline(always)]
pub fn header<I: Image>(image: &I) -> Option<HeaderView<'_>> {
    Some(HeaderView {
        first: image.block(0)?,
        second: image.block(1)?,
    })
}

/// The two blocks of an [`ImageHeader`], read where they lie.
#[derive(Debug, Clone, Copy)]
pub struct HeaderView<'a> {
    first: &'a Block,
    second: &'a Block,
}

/// Reads the word at byte `offset`; the offset is a constant, so nothing is checked at run time.
#[inline(always)]
fn word(view: &HeaderView<'_>, offset: usize) -> u32 {
    let block: &[u32; 16] = bytemuck::cast_ref(if offset < 64 { view.first } else { view.second });
    block[(offset / 4) & 15]
}

macro_rules! header_field {
    ($name:ident) => {
        /// The field of this name of [`ImageHeader`].
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> u32 {
            const OFFSET: usize = offset_of!(ImageHeader, $name);
            const { assert!(OFFSET.is_multiple_of(4)) };
            word(self, OFFSET)
        }
    };
}

impl HeaderView<'_> {
    header_field!(flags);
    header_field!(management_v4);
    header_field!(management_v6);
    header_field!(resolvers_v4);
    header_field!(resolvers_v6);
    header_field!(forwarded_v4);
    header_field!(forwarded_v6);
    header_field!(verdicts);

    /// Failsafe TCP ports.
    #[inline(always)]
    #[must_use]
    pub fn management_ports(&self) -> [u16; 4] {
        const OFFSET: usize = offset_of!(ImageHeader, management_ports);
        const { assert!(OFFSET.is_multiple_of(4)) };
        bytemuck::cast([word(self, OFFSET), word(self, OFFSET + 4)])
    }

    /// Further EtherTypes that pass.
    #[inline(always)]
    #[must_use]
    pub fn ether_types(&self) -> [u16; 8] {
        const OFFSET: usize = offset_of!(ImageHeader, ether_types);
        const { assert!(OFFSET.is_multiple_of(4)) };
        bytemuck::cast([0, 4, 8, 12].map(|step| word(self, OFFSET + step)))
    }

    /// Whether the interface of this slot is declared as forwarded.
    #[inline(always)]
    #[must_use]
    pub fn forwards_on(&self, interface_slot: u8) -> bool {
        const OFFSET: usize = offset_of!(ImageHeader, forwarded_interfaces);
        const { assert!(OFFSET.is_multiple_of(4) && INTERFACE_SLOTS == 64) };
        let slots = u64::from(word(self, OFFSET)) | u64::from(word(self, OFFSET + 4)) << 32;
        slots >> (interface_slot & 63) & 1 != 0
    }

    /// Block of the descriptor of a [`Chain`].
    #[inline(always)]
    #[must_use]
    pub fn chain(&self, chain: u32) -> u32 {
        const FIRST: usize = offset_of!(ImageHeader, chains) / 4;
        const { assert!(FIRST + CHAINS <= 16) };
        let block: &[u32; 16] = bytemuck::cast_ref(self.first);
        block[(FIRST + chain as usize) & 15]
    }
}

/// A key and the chain to look in, in plain memory.
///
/// The eBPF programs keep it in a map: what they read back from there is unknown to the verifier, which then walks
/// the classifier once, and not once for each way that led here.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Question {
    source: Address,
    destination: Address,
    chain: u32,
    source_port: u16,
    destination_port: u16,
    vlan: u16,
    protocol: u16,
    interface_slot: u16,
    is_v6: u16,
    /// Put in by the classifier.
    vectors: [Vector; VECTORS],
}

impl Question {
    /// Asks for `key` in `chain`.
    #[inline(always)]
    #[must_use]
    pub const fn new(chain: Chain, key: &MatchKey) -> Self {
        Self {
            source: key.source,
            destination: key.destination,
            chain: chain as u32,
            source_port: key.source_port,
            destination_port: key.destination_port,
            vlan: key.vlan,
            protocol: key.protocol as u16,
            interface_slot: key.interface_slot as u16,
            is_v6: matches!(key.family, Family::V6) as u16,
            vectors: [Vector {
                base: NO_BLOCK,
                mask: 0,
            }; VECTORS],
        }
    }

    #[inline(always)]
    const fn family(&self) -> Family {
        if self.is_v6 == 0 { Family::V4 } else { Family::V6 }
    }
}

/// The verdict record of the first rule that matches, or of the chain's default. `None` only where the image is
/// damaged.
#[must_use]
pub fn classify<I: Image>(
    image: &I,
    header: &HeaderView<'_>,
    chain: Chain,
    key: &MatchKey,
) -> Option<VerdictRecord> {
    answer(image, header, &mut Question::new(chain, key))
}

/// As [`classify`].
///
/// A function of its own on BPF, for its share of the 512 bytes of stack.
#[cfg_attr(target_arch = "bpf", inline(never))]
pub fn answer<I: Image>(
    image: &I,
    header: &HeaderView<'_>,
    question: &mut Question,
) -> Option<VerdictRecord> {
    let descriptor: &ChainDescriptor = bytemuck::cast_ref(image.block(header.chain(question.chain))?);
    look_up(image, descriptor, question)?;
    let number = match scan(
        image,
        &question.vectors,
        descriptor.vector_blocks,
        descriptor.rules,
    ) {
        DAMAGED => return None,
        NO_MATCH => descriptor.default_verdict,
        rule => descriptor.first_verdict.wrapping_add(rule),
    };
    verdict(image, header.verdicts(), image.forget(number))
}

#[inline(always)]
fn verdict(image: &impl Image, base: u32, number: u32) -> Option<VerdictRecord> {
    let block = image.block(base.wrapping_add(number / VERDICTS_PER_BLOCK))?;
    let place = (number % VERDICTS_PER_BLOCK) as usize * 2;
    let words = [block.0[place & 6], block.0[(place & 6) + 1]];
    Some(bytemuck::cast(words))
}

/// Dimensions, the interface among them.
const VECTORS: usize = 7;

/// The bit vector of one dimension. A dimension that the chain does not use has one block of ones, wherever it is
/// read: a branch in the scan would double the ways that the verifier walks in each of its rounds.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Vector {
    base: u32,
    mask: u32,
}

#[inline(always)]
const fn used(base: u32) -> Vector {
    Vector { base, mask: u32::MAX }
}

/// Looks the bit vector of each dimension up and leaves them in the question, which lies in a map: the stack is
/// needed for the scan.
#[inline(always)]
fn look_up<I: Image>(image: &I, chain: &ChainDescriptor, question: &mut Question) -> Option<()> {
    let tree = |dimension: Dimension| chain.trees[dimension as usize];
    let unused = Vector {
        base: chain.all_ones,
        mask: 0,
    };
    question.vectors = [unused; VECTORS];
    if tree(Dimension::Source) != NO_BLOCK {
        let base = find_address(
            image,
            tree(Dimension::Source),
            question.family(),
            &question.source,
        )?;
        question.vectors[0] = used(base);
    }
    if tree(Dimension::Destination) != NO_BLOCK {
        let base = find_address(
            image,
            tree(Dimension::Destination),
            question.family(),
            &question.destination,
        )?;
        question.vectors[1] = used(base);
    }
    if tree(Dimension::Protocol) != NO_BLOCK {
        question.vectors[2] = used(find_number(image, tree(Dimension::Protocol), question.protocol)?);
    }
    if tree(Dimension::SourcePort) != NO_BLOCK {
        question.vectors[3] = used(find_number(
            image,
            tree(Dimension::SourcePort),
            question.source_port,
        )?);
    }
    if tree(Dimension::DestinationPort) != NO_BLOCK {
        let base = find_number(image, tree(Dimension::DestinationPort), question.destination_port)?;
        question.vectors[4] = used(base);
    }
    if tree(Dimension::Vlan) != NO_BLOCK {
        question.vectors[5] = used(find_number(image, tree(Dimension::Vlan), question.vlan)?);
    }
    if chain.interfaces != NO_BLOCK {
        let vectors_before = u32::from(question.interface_slot).wrapping_mul(chain.vector_blocks);
        question.vectors[6] = used(chain.interfaces.wrapping_add(vectors_before));
    }
    Some(())
}

#[cfg_attr(target_arch = "bpf", inline(never))]
fn find_number<I: Image>(image: &I, tree: u32, value: u16) -> Option<u32> {
    interval::find(image, tree, value)
}

/// ANDs one block of a bit vector into `matched`.
#[inline(always)]
fn narrow<I: Image>(image: &I, vector: Vector, at: u32, matched: &mut [u64; 8]) -> Option<()> {
    let block = &image.block(vector.base.wrapping_add(at & vector.mask))?.0;
    matched[0] &= block[0];
    matched[1] &= block[1];
    matched[2] &= block[2];
    matched[3] &= block[3];
    matched[4] &= block[4];
    matched[5] &= block[5];
    matched[6] &= block[6];
    matched[7] &= block[7];
    Some(())
}

/// Payload of the interval of an address tree that holds `address`.
///
/// A function of its own on BPF, for its share of the 512 bytes of stack.
#[cfg_attr(target_arch = "bpf", inline(never))]
pub fn find_address<I: Image>(image: &I, tree: u32, family: Family, address: &Address) -> Option<u32> {
    // Most callers know the family, which costs the verifier more than it saves: see `opaque::afresh`.
    if image.forget(family as u32) == Family::V4 as u32 {
        interval::find(image, tree, address.low as u32)
    } else {
        interval::find(image, tree, address.to_u128())
    }
}

/// Ordinal of the first rule of the chain that matches, of `rules` rules in `blocks` blocks; [`NO_MATCH`] or
/// [`DAMAGED`] where there is none: a number fits a register.
///
/// A function of its own on BPF, for its share of the 512 bytes of stack. It calls no other one: before kernel 6.4 the
/// verifier gives up telling states apart by what matters at a counter that is kept across a call.
#[cfg_attr(target_arch = "bpf", inline(never))]
fn scan<I: Image>(image: &I, vectors: &[Vector; VECTORS], blocks: u32, rules: u32) -> u32 {
    // A fixed bound for the verifier.
    for at in 0..MAX_VECTOR_BLOCKS {
        if at >= blocks {
            break;
        }
        let bit = first_match(image, vectors, at);
        if bit == DAMAGED {
            return DAMAGED;
        }
        if bit != NO_MATCH {
            let rule = at.wrapping_mul(RULES_PER_BLOCK).wrapping_add(bit);
            // With no dimension in use every bit is set, those after the last rule too.
            return if rule < rules { rule } else { NO_MATCH };
        }
    }
    NO_MATCH
}

/// Above every ordinal.
const NO_MATCH: u32 = MAX_CHAIN_RULES;
const DAMAGED: u32 = MAX_CHAIN_RULES + 1;

/// The first of 512 rules that matches.
#[inline(always)]
fn first_match<I: Image>(image: &I, vectors: &[Vector; VECTORS], at: u32) -> u32 {
    let mut matched = [u64::MAX; 8];
    // Not unrolled: interleaved, the seven rounds would not fit on the stack.
    let mut round = 0;
    while let Some(vector) = vectors.get(round as usize) {
        if narrow(image, *vector, at, &mut matched).is_none() {
            return DAMAGED;
        }
        round = incremented(round);
    }
    first_bit(&matched).unwrap_or(NO_MATCH)
}

#[inline(always)]
fn first_bit(words: &[u64; 8]) -> Option<u32> {
    let [a, b, c, d, e, f, g, h] = *words;
    let (base, word) = match () {
        () if a != 0 => (0, a),
        () if b != 0 => (64, b),
        () if c != 0 => (128, c),
        () if d != 0 => (192, d),
        () if e != 0 => (256, e),
        () if f != 0 => (320, f),
        () if g != 0 => (384, g),
        () if h != 0 => (448, h),
        () => return None,
    };
    Some(base + word.trailing_zeros())
}
