//! Rows: which entries of a chain match (see [`firewall_common::image::ChainDescriptor`]).

use firewall_common::image::{Block, ENTRIES_PER_BLOCK};

use super::{CompileError, arrange::Arrangement, pool::Pool};

/// References in a block, and pairs of them in a word.
const PER_BLOCK: usize = 16;

/// A bit for each place of a chain.
#[derive(Debug, Clone)]
pub(super) struct Row {
    vector: Vec<Block>,
    /// Where the blocks of the vector lie, as far as they have not changed since.
    laid: Vec<Option<u32>>,
    summary_words: usize,
}

impl Row {
    /// All bits clear.
    pub(super) fn new(arrangement: &Arrangement) -> Self {
        let blocks = arrangement.words().div_ceil(8);
        Self {
            vector: vec![Block([0; 8]); blocks],
            laid: vec![None; blocks],
            summary_words: arrangement.summary_words(),
        }
    }

    pub(super) fn set(&mut self, place: u32, value: bool) {
        let (block, bit) = (place / ENTRIES_PER_BLOCK, place % ENTRIES_PER_BLOCK);
        let word = &mut self.vector[block as usize].0[bit as usize / 64];
        if value {
            *word |= 1 << (bit % 64);
        } else {
            *word &= !(1 << (bit % 64));
        }
        self.laid[block as usize] = None;
    }

    /// Lays the row where no other one is the same; returns its first block.
    pub(super) fn lay(&mut self, pool: &mut Pool) -> Result<u32, CompileError> {
        if self.summary_words == 0 {
            return pool.intern(&self.vector);
        }
        for (laid, block) in self.laid.iter_mut().zip(&self.vector) {
            if laid.is_none() {
                *laid = Some(pool.intern(std::slice::from_ref(block))?);
            }
        }
        let head = self.head(self.laid.iter().map(|laid| laid.unwrap_or_default()));
        pool.intern(&head)
    }

    /// The summary, and where the blocks of the vector lie.
    pub(super) fn head(&self, vector: impl Iterator<Item = u32>) -> Vec<Block> {
        let references = self.summary_words * 2 + self.vector.len();
        let mut head = vec![Block([0; 8]); references.div_ceil(PER_BLOCK)];
        let words: &mut [u64] = bytemuck::cast_slice_mut(&mut head);
        let vector_words: &[u64] = bytemuck::cast_slice(&self.vector);
        for (word, part) in words.iter_mut().zip(vector_words.chunks(64)) {
            *word = summary(part);
        }
        let references: &mut [u32] = bytemuck::cast_slice_mut(&mut head);
        for (place, block) in references[self.summary_words * 2..].iter_mut().zip(vector) {
            *place = block;
        }
        head
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
fn summary(words: &[u64]) -> u64 {
    (0..).zip(words).fold(0, |summary, (place, &word)| {
        summary | u64::from(word != 0) << place
    })
}
