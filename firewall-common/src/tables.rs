//! The tables as the verdict path sees them. The kernel's maps and a host test's collections implement these.

use crate::{
    address::{Address, Family},
    classify::{self, Question},
    compact::{COMPACT_BLOCKS, CompactChain},
    event::Event,
    flow::Bucket,
    fragment::{FragmentKey, FragmentRecord},
    image::{Block, Chain, ChainDescriptor, NO_BLOCK},
    prefix_set::Entry,
    word::Word,
};

/// The image of one slot.
pub trait Image: Sized {
    /// Block `index`, if the image is that long.
    fn block(&self, index: u32) -> Option<&Block>;

    /// The compact form of the chain of incoming IPv4 packets, where the policy in `slot` has one.
    fn compact(&self, slot: u8) -> Option<&CompactChain>;

    /// Returns `value`. The kernel's verifier is made to forget how it came about, by a way through a map's memory:
    /// it would otherwise keep apart every way that leads to a place in a table, and walk what follows for each.
    fn forget(&self, value: u32) -> u32 {
        value
    }

    /// Runs [`classify::visit`] until it has found the answer. The kernel has a helper for loops whose bodies are to be
    /// verified once only.
    fn search(&self, question: &mut Question) {
        for _ in 0..classify::MAX_VISITS {
            if !classify::visit(self, question) {
                return;
            }
        }
    }
}

/// An image in memory.
#[derive(Debug, Clone, Copy)]
pub struct SliceImage<'a>(pub &'a [Block]);

impl Image for SliceImage<'_> {
    fn block(&self, index: u32) -> Option<&Block> {
        self.0.get(index as usize)
    }

    fn compact(&self, _: u8) -> Option<&CompactChain> {
        let chain = classify::header(self)?.chain(Chain::InputV4 as u32);
        let descriptor: &ChainDescriptor = bytemuck::cast_ref(self.block(chain)?);
        let first = descriptor.compact as usize;
        let blocks = self.0.get(first..first + COMPACT_BLOCKS as usize)?;
        (descriptor.compact != NO_BLOCK).then(|| CompactChain::of_blocks(blocks))?
    }
}

/// One of the two flow tables.
pub trait Buckets {
    /// Bucket `index`; it exists for every index up to the table's mask.
    fn bucket(&self, index: u32) -> Option<&Bucket>;
    /// Filter `index`, where there are filters: whoever enters flows needs them.
    fn filter(&self, index: u32) -> Option<&Word> {
        let _ = index;
        None
    }
}

/// Tables that only packets beside the live-flow path look at.
pub trait SlowTables {
    /// Whether `address` is one of this host's, broadcast addresses included.
    fn is_local(&self, family: Family, address: Address) -> bool;
    /// Whether a ban covers `address` at `now_ticks`.
    fn is_banned(&self, family: Family, address: Address, now_ticks: u32) -> bool;
    /// What the block lists of the policy in `slot` have near `address`: where [`Self::is_listed`] begins. Read ahead by
    /// packets that will need it, since it lies in no cache.
    fn list_root(&self, slot: u8, family: Family, address: Address) -> Entry;
    /// Whether a block list has `address`, whose root this is.
    fn is_listed(&self, root: Entry, family: Family, address: Address) -> bool;
    /// The verdict on the first fragment of a datagram.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRecord>;
    /// Keeps the verdict on a first fragment.
    fn set_fragment(&self, key: &FragmentKey, record: &FragmentRecord);
    /// Takes one of the tokens that a source has for later fragments without a first one.
    fn take_orphan_token(&self, family: Family, source: Address, now_ticks: u32) -> bool;
    /// Hands an event to user space, if the budget of its rule or reason allows.
    fn log(&self, event: &Event, per_second: u16, now_ticks: u32);
}
