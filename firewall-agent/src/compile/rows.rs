//! Rows: which entries of a chain match (see [`firewall_common::image::ChainDescriptor`]).

use firewall_common::image::{Block, ENTRIES_PER_BLOCK};

use super::{CompileError, arrange::Arrangement, pool::Pool};

/// References in a block.
const PER_BLOCK: usize = 16;

/// A bit for each place of a chain.
#[derive(Debug, Clone)]
pub(super) struct Row {
    vector: Vec<Block>,
    /// Blocks of the vector that have changed since it was last laid; each at most once.
    changed: Vec<usize>,
    is_changed: Vec<bool>,
    /// The summary, and where the blocks of the vector lie.
    head: Vec<Block>,
    summary_words: usize,
}

impl Row {
    /// All bits clear.
    pub(super) fn new(arrangement: &Arrangement) -> Self {
        let blocks = arrangement.words().div_ceil(8);
        let summary_words = arrangement.summary_words();
        Self {
            vector: vec![Block([0; 8]); blocks],
            changed: (0..blocks).collect(),
            is_changed: vec![true; blocks],
            head: vec![Block([0; 8]); (summary_words * 2 + blocks).div_ceil(PER_BLOCK)],
            summary_words,
        }
    }

    pub(super) fn set(&mut self, place: u32, value: bool) {
        let (block, bit) = ((place / ENTRIES_PER_BLOCK) as usize, place % ENTRIES_PER_BLOCK);
        let word = &mut self.vector[block].0[bit as usize / 64];
        if value {
            *word |= 1 << (bit % 64);
        } else {
            *word &= !(1 << (bit % 64));
        }
        if !self.is_changed[block] {
            self.is_changed[block] = true;
            self.changed.push(block);
        }
    }

    /// Lays the row where no other one is the same; returns its first block.
    pub(super) fn lay(&mut self, pool: &mut Pool) -> Result<u32, CompileError> {
        if self.is_vector() {
            return pool.intern(&self.vector);
        }
        while let Some(block) = self.changed.pop() {
            self.is_changed[block] = false;
            let laid = pool.intern(std::slice::from_ref(&self.vector[block]))?;
            self.refer(block, laid);
        }
        pool.intern(&self.head)
    }

    /// The summary, and references to the blocks of the vector, which lie in a run from `first` on.
    pub(super) fn head_of_run(mut self, first: u32) -> Vec<Block> {
        for (block, at) in (0..self.vector.len()).zip(first..) {
            self.refer(block, at);
        }
        self.head
    }

    /// Puts into the head where a block of the vector lies, and which of its words are not zero.
    fn refer(&mut self, block: usize, at: u32) {
        let references: &mut [u32] = bytemuck::cast_slice_mut(&mut self.head);
        references[self.summary_words * 2 + block] = at;
        // Eight words of a block are one byte of the summary.
        let summary: &mut [u8] = bytemuck::cast_slice_mut(&mut self.head);
        summary[block] = summary_of(&self.vector[block]);
    }

    /// Whether it has no summary.
    pub(super) fn is_vector(&self) -> bool {
        self.summary_words == 0
    }

    pub(super) fn vector(&self) -> &[Block] {
        &self.vector
    }
}

/// A bit for each word that is not zero.
fn summary_of(block: &Block) -> u8 {
    (0..)
        .zip(block.0)
        .fold(0, |summary, (place, word)| summary | u8::from(word != 0) << place)
}
