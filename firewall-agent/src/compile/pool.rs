//! The blocks of an image as it grows.

use std::collections::HashMap;

use firewall_common::image::Block;

use super::{CompileError, MAX_IMAGE_BLOCKS};

/// Blocks laid so far. Runs of blocks that never change afterwards are laid only once.
#[derive(Debug, Default)]
pub(super) struct Pool {
    blocks: Vec<Block>,
    /// First block of the first interned run of each hash.
    known: HashMap<u64, u32>,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Blocks laid so far.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.blocks.len()).expect("`append` keeps to MAX_IMAGE_BLOCKS")
    }

    /// Lays a run that may be changed later; returns its first block.
    pub(super) fn append(&mut self, run: &[Block]) -> Result<u32, CompileError> {
        let first = self.count();
        if self.blocks.len() + run.len() > MAX_IMAGE_BLOCKS as usize {
            return Err(CompileError::ImageTooLarge {
                limit: MAX_IMAGE_BLOCKS,
            });
        }
        self.blocks.extend_from_slice(run);
        Ok(first)
    }

    /// Lays a run, or finds an interned one of the same bytes; returns its first block.
    pub(super) fn intern(&mut self, run: &[Block]) -> Result<u32, CompileError> {
        let hash = hash(run);
        if let Some(&first) = self.known.get(&hash)
            && self.blocks[first as usize..].starts_with(run)
        {
            return Ok(first);
        }
        let first = self.append(run)?;
        // Of two runs of one hash the second is laid each time, which costs room only.
        self.known.entry(hash).or_insert(first);
        Ok(first)
    }

    /// Replaces a block that was laid by [`Self::append`].
    pub(super) fn set(&mut self, at: u32, block: Block) {
        self.blocks[at as usize] = block;
    }

    pub(super) fn get(&self, at: u32) -> &Block {
        &self.blocks[at as usize]
    }

    pub(super) fn into_blocks(self) -> Vec<Block> {
        self.blocks
    }
}

/// Multiplies and shifts; as good as the mixing of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn hash(run: &[Block]) -> u64 {
    let mixed = |hash: u64, word: &u64| {
        let hash = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^ hash >> 32
    };
    let words: &[u64] = bytemuck::cast_slice(run);
    words.iter().fold(run.len() as u64, mixed)
}
