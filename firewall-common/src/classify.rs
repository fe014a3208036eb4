//! First match of a packet over the rules of a chain.
//!
//! Each dimension that the chain uses maps a header field to a row: a bit vector over the rules (Lakshman and
//! Stiliadis, SIGCOMM 1998). In chains of more than one block of rules, summaries of the rows say which words of the
//! vectors are worth a look (Baboescu and Varghese, SIGCOMM 2001); rules that are alike stand in the same words.
//! Dimensions that no rule uses cost one comparison.

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use crate::{
    address::{Address, Family},
    image::{
        Block, CHAINS, Chain, ChainDescriptor, DIMENSIONS, Dimension, ENTRIES_PER_WORD, ImageHeader,
        MAX_CHAIN_RULES, MAX_ENDS, NO_BLOCK, ORDER_PER_BLOCK,
    },
    interface::INTERFACE_SLOTS,
    opaque::{masked, reloaded, store},
    tables::Image,
    trie,
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

/// A key and the chain to look in, in plain memory, and how far the look-up has come.
///
/// The eBPF programs keep it in a map: what they read back from there is unknown to the verifier, which then walks
/// the classifier once, and not once for each way that led here.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Question {
    source: Address,
    destination: Address,
    /// By dimension; addresses only where they are of IPv4.
    keys: [u32; DIMENSIONS],
    chain: u32,
    interface_slot: u32,
    is_v6: u32,
    /// When it is asked.
    now_ticks: u32,
    /// Spare.
    reserved: u32,
    /// A word for [`Image::forget`] in [`Image::search`].
    pub forgetting: u32,
    /// Number of the entry that matches first of those seen; [`NO_MATCH`] or [`DAMAGED`].
    best: u32,
    /// How many of the rows are used.
    used: u32,
    /// The word of the summaries that `words` begins with.
    from: u32,
    /// Of the chain's descriptor.
    summary_words: u32,
    /// Of the chain's descriptor.
    order: u32,
    /// Blocks of the rows.
    rows: [u32; ROWS],
    /// What the rows have in common, in eight of their first words.
    words: [u64; 8],
}

/// Rows that one look-up ANDs: of the dimensions, of the interface and of what has not ended, and room to make a power
/// of two.
const ROWS: usize = 8;

impl Question {
    /// Asks for `key` in `chain` at this time.
    #[must_use]
    pub fn new(chain: Chain, key: &MatchKey, now_ticks: u32) -> Self {
        let mut question = Self::zeroed();
        question.put(chain, key, now_ticks);
        question
    }

    /// Makes this the question for `key` in `chain` at this time, whatever it was. What the last look-up has left stays
    /// where the next one writes anyway.
    #[inline(always)]
    pub fn put(&mut self, chain: Chain, key: &MatchKey, now_ticks: u32) {
        self.source = key.source;
        self.destination = key.destination;
        self.keys[Dimension::Source as usize] = key.source.low as u32;
        self.keys[Dimension::Destination as usize] = key.destination.low as u32;
        self.keys[Dimension::Service as usize] =
            u32::from(key.protocol) << 16 | u32::from(key.destination_port);
        self.keys[Dimension::SourcePort as usize] = u32::from(key.source_port);
        self.keys[Dimension::Vlan as usize] = u32::from(key.vlan);
        self.chain = chain as u32;
        self.interface_slot = u32::from(key.interface_slot);
        self.is_v6 = u32::from(matches!(key.family, Family::V6));
        self.now_ticks = now_ticks;
    }

    /// Adds a row. How many there are goes through memory: the verifier would keep each number apart.
    #[inline(always)]
    fn add(&mut self, row: u32) {
        let place = reloaded(&self.used);
        self.rows[place as usize & (ROWS - 1)] = row;
        self.used = place.wrapping_add(1);
    }
}

/// Above every number of an entry.
const NO_MATCH: u32 = MAX_CHAIN_RULES;
const DAMAGED: u32 = MAX_CHAIN_RULES + 1;

/// The verdict record of the first rule that matches and has not ended, or of the chain's default. `None` only where
/// the image is damaged.
#[must_use]
pub fn classify<I: Image>(
    image: &I,
    header: &HeaderView<'_>,
    chain: Chain,
    key: &MatchKey,
    now_ticks: u32,
) -> Option<VerdictRecord> {
    answer(image, header, &mut Question::new(chain, key, now_ticks))
}

/// As [`classify`].
///
/// Not a function of its own: where the kernel guards its returns, a return costs as much as a trie.
#[inline(always)]
pub fn answer<I: Image>(
    image: &I,
    header: &HeaderView<'_>,
    question: &mut Question,
) -> Option<VerdictRecord> {
    let descriptor: &ChainDescriptor = bytemuck::cast_ref(image.block(header.chain(question.chain))?);
    question.best = NO_MATCH;
    question.used = 0;
    question.from = 0;
    look_up(image, descriptor, question)?;
    if reloaded(&descriptor.rules) <= ENTRIES_PER_WORD {
        narrow_one(image, question)?;
    } else {
        narrow(image, question)?;
    }
    if reloaded(&descriptor.summary_words) == 0 {
        let bit = first_bit(&question.words).unwrap_or(NO_MATCH);
        // With no dimension in use every bit is set, those after the last rule too.
        question.best = if bit < descriptor.rules { bit } else { NO_MATCH };
    } else {
        question.summary_words = descriptor.summary_words;
        question.order = descriptor.order;
        image.search(question);
    }
    let number = match reloaded(&question.best) {
        DAMAGED => return None,
        NO_MATCH => reloaded(&descriptor.default_verdict),
        entry => reloaded(&descriptor.first_verdict).wrapping_add(entry),
    };
    verdict(image, header.verdicts(), image.forget(number))
}

/// As [`answer`]. A function of its own on BPF, which the verifier walks with less around it.
#[cfg_attr(target_arch = "bpf", inline(never))]
pub fn answer_apart<I: Image>(
    image: &I,
    header: &HeaderView<'_>,
    question: &mut Question,
) -> Option<VerdictRecord> {
    answer(image, header, question)
}

/// The verdict record of this number. `None` only where the image is damaged.
#[inline(always)]
#[must_use]
pub fn verdict(image: &impl Image, base: u32, number: u32) -> Option<VerdictRecord> {
    let block = image.block(base.wrapping_add(number / VERDICTS_PER_BLOCK))?;
    let place = (number % VERDICTS_PER_BLOCK) as usize * 2;
    let words = [block.0[place & 6], block.0[(place & 6) + 1]];
    Some(bytemuck::cast(words))
}

/// Looks the row of each dimension up and leaves them in the question.
#[inline(always)]
fn look_up<I: Image>(image: &I, chain: &ChainDescriptor, question: &mut Question) -> Option<()> {
    let mut dimension = Dimension::Source as usize;
    if question.is_v6 != 0 {
        while dimension <= Dimension::Destination as usize {
            let trie = reloaded(&chain.tries[dimension]);
            if trie != NO_BLOCK {
                let address = if dimension == 0 {
                    &question.source
                } else {
                    &question.destination
                };
                let row = trie::find_v6(image, trie, address)?;
                question.add(row);
            }
            dimension += 1;
        }
    }
    while dimension < DIMENSIONS {
        let trie = reloaded(&chain.tries[dimension]);
        if trie != NO_BLOCK {
            let row = trie::find_number(image, trie, question.keys[dimension])?;
            question.add(row);
        }
        dimension += 1;
    }
    if chain.interfaces != NO_BLOCK {
        let before = question.interface_slot.wrapping_mul(chain.row_blocks);
        question.add(chain.interfaces.wrapping_add(before));
    }
    let ends = reloaded(&chain.ends);
    if ends != NO_BLOCK {
        leave_out_ended(image, ends, question)?;
    }
    Some(())
}

/// Adds the row of the entries that are left, where some have ended.
#[inline(always)]
fn leave_out_ended<I: Image>(image: &I, ends: u32, question: &mut Question) -> Option<()> {
    let moments: &[u32; MAX_ENDS] = bytemuck::cast_ref(image.block(ends)?);
    let now = question.now_ticks;
    let mut ended = 0;
    for &end in moments {
        // 1 where `end` is reached: see `cell::reached`.
        ended += !now.wrapping_sub(end) >> 31;
    }
    if ended != 0 {
        let rows: &[u32; MAX_ENDS] = bytemuck::cast_ref(image.block(ends.wrapping_add(1))?);
        let last = ended.wrapping_sub(1);
        question.add(*rows.get(masked::<{ MAX_ENDS as u32 - 1 }>(last as usize))?);
    }
    Some(())
}

/// What an address leads to in a trie.
///
/// A function of its own on BPF, for its share of the 512 bytes of stack.
#[cfg_attr(target_arch = "bpf", inline(never))]
pub fn find_address<I: Image>(image: &I, trie: u32, family: Family, address: &Address) -> Option<u32> {
    // Most callers know the family, which costs the verifier more than it saves: see `opaque::afresh`.
    if image.forget(family as u32) == Family::V4 as u32 {
        trie::find_number(image, trie, address.low as u32)
    } else {
        trie::find_v6(image, trie, address)
    }
}

/// Puts what a block of words, from word `from` on, has in common in all rows into the question.
#[inline(always)]
fn narrow<I: Image>(image: &I, question: &mut Question) -> Option<()> {
    for word in &mut question.words {
        store(word, u64::MAX);
    }
    let block_before = question.from / 8;
    let mut round = 0;
    // The bound is for the verifier.
    while round < ROWS {
        if round as u32 >= reloaded(&question.used) {
            break;
        }
        let block = &image.block(question.rows[round].wrapping_add(block_before))?.0;
        let words = &mut question.words;
        words[0] &= block[0];
        words[1] &= block[1];
        words[2] &= block[2];
        words[3] &= block[3];
        words[4] &= block[4];
        words[5] &= block[5];
        words[6] &= block[6];
        words[7] &= block[7];
        round += 1;
    }
    Some(())
}

/// As [`narrow`], of the first word alone. What the others hold says nothing of so few entries.
#[inline(always)]
fn narrow_one<I: Image>(image: &I, question: &mut Question) -> Option<()> {
    let mut word = u64::MAX;
    let mut round = 0;
    while round < ROWS {
        if round as u32 >= reloaded(&question.used) {
            break;
        }
        word &= image.block(question.rows[round])?.0[0];
        round += 1;
    }
    question.words[0] = word;
    Some(())
}

/// Most calls of [`visit`] for one question: one for each word of a bit vector, and one to end with.
pub const MAX_VISITS: u32 = MAX_CHAIN_RULES / ENTRIES_PER_WORD + 1 + 1;

/// Looks at the next word that the summaries leave; false where the search is over.
#[inline(always)]
pub fn visit<I: Image>(image: &I, question: &mut Question) -> bool {
    match next_word(image, question) {
        Some(true) => true,
        Some(false) => false,
        None => {
            question.best = DAMAGED;
            false
        }
    }
}

/// As [`visit`]; `None` where the image is damaged.
#[inline(always)]
fn next_word<I: Image>(image: &I, question: &mut Question) -> Option<bool> {
    let Some(bit) = first_bit(&question.words) else {
        let from = question.from.wrapping_add(8);
        if from >= question.summary_words {
            return Some(false);
        }
        question.from = from;
        narrow(image, question)?;
        return Some(true);
    };
    // Words that follow the summaries in a block are no summaries.
    let place = question.from.wrapping_add(bit / 64);
    if place >= question.summary_words {
        return Some(false);
    }
    let words = question.words.get_mut(masked::<7>(bit as usize / 64))?;
    *words &= words.wrapping_sub(1);
    let word = place.wrapping_mul(64).wrapping_add(bit % 64);
    // Words ascend by their first entry, so nothing better follows one that is worse.
    let first = entry_at(image, question.order, word.wrapping_mul(ENTRIES_PER_WORD))?;
    if first >= question.best {
        return Some(false);
    }
    let matched = look_at(image, question, word)?;
    if matched != 0 {
        let at = word
            .wrapping_mul(ENTRIES_PER_WORD)
            .wrapping_add(matched.trailing_zeros());
        let entry = entry_at(image, question.order, at)?;
        if entry < question.best {
            question.best = entry;
        }
    }
    Some(true)
}

/// The entries of one word that match.
#[inline(always)]
fn look_at<I: Image>(image: &I, question: &Question, word: u32) -> Option<u64> {
    // Of numbers of 32 bits from the row's start on.
    let pointer = question.summary_words.wrapping_mul(2).wrapping_add(word / 8);
    let (block_before, place) = (pointer / 16, pointer as usize % 16);
    let mut matched = u64::MAX;
    let mut round = 0;
    while round < ROWS {
        if round as u32 >= reloaded(&question.used) {
            break;
        }
        let row = image.block(question.rows[round].wrapping_add(block_before))?;
        let vector = (row.0.get(masked::<7>(place / 2))? >> (place % 2 * 32)) as u32;
        matched &= image.block(vector)?.0[word as usize & 7];
        round += 1;
    }
    Some(matched)
}

/// Number of the entry at a place of the bit vectors.
#[inline(always)]
fn entry_at<I: Image>(image: &I, order: u32, at: u32) -> Option<u32> {
    let block = image.block(order.wrapping_add(at / ORDER_PER_BLOCK))?;
    let word = block.0[at as usize / 4 & 7];
    Some((word >> (at % 4 * 16)) as u32 & 0xffff)
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
