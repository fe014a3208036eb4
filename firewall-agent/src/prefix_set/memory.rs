//! Where sets lie: shared with the kernel, or in this process for tests and for the verdict path in memory.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use firewall_common::{
    image::Block,
    prefix_set::{PrefixTables, ROOTS},
};

/// Root entries and blocks that readers may look at any time.
pub trait Memory {
    /// Blocks in the pool.
    fn capacity(&self) -> u32;

    /// Root entry `index`; zero where there is none.
    fn root(&self, index: u32) -> u64;

    /// Stores a root entry in one go, after everything that was written before.
    fn store_root(&self, index: u32, entry: u64);

    /// Block `index`; zeroes where there is none.
    fn block(&self, index: u32) -> Block;

    /// Writes a block that no reader knows.
    fn write(&self, index: u32, block: &Block);

    /// Returns once everybody is through who may have read a root entry before this call.
    fn wait_for_readers(&self);
}

/// Sets in this process.
pub struct HeapMemory {
    roots: Box<[AtomicU64]>,
    blocks: Box<[SharedBlock]>,
}

#[repr(C, align(64))]
struct SharedBlock([AtomicU64; 8]);

impl HeapMemory {
    /// A pool of so many blocks.
    #[must_use]
    pub fn new(blocks: u32) -> Self {
        Self {
            roots: (0..ROOTS).map(|_| AtomicU64::new(0)).collect(),
            blocks: (0..blocks).map(|_| SharedBlock(Default::default())).collect(),
        }
    }
}

impl fmt::Debug for HeapMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HeapMemory")
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl Memory for HeapMemory {
    fn capacity(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }

    fn root(&self, index: u32) -> u64 {
        self.roots
            .get(index as usize)
            .map_or(0, |root| root.load(Ordering::Acquire))
    }

    fn store_root(&self, index: u32, entry: u64) {
        if let Some(root) = self.roots.get(index as usize) {
            root.store(entry, Ordering::Release);
        }
    }

    fn block(&self, index: u32) -> Block {
        let words = self.blocks.get(index as usize).map(|block| &block.0);
        words.map_or(Block([0; 8]), |words| {
            Block(std::array::from_fn(|word| words[word].load(Ordering::Relaxed)))
        })
    }

    fn write(&self, index: u32, block: &Block) {
        if let Some(place) = self.blocks.get(index as usize) {
            for (place, word) in place.0.iter().zip(block.0) {
                place.store(word, Ordering::Relaxed);
            }
        }
    }

    /// Whoever reads while another thread changes the sets must use a memory that can wait.
    fn wait_for_readers(&self) {}
}

impl PrefixTables for HeapMemory {
    fn root(&self, index: u32) -> u64 {
        Memory::root(self, index)
    }

    fn block(&self, index: u32) -> Option<&Block> {
        let block = self.blocks.get(index as usize)?;
        // SAFETY: a block of atomic words has the layout of a block of words. It is not written while a reader may
        // know it.
        Some(unsafe { &*std::ptr::from_ref(block).cast::<Block>() })
    }
}
