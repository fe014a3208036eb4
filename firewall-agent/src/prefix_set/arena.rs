//! The pool of blocks: who holds which, and which may be written.
//!
//! Blocks are given out in groups that lie side by side. A group counts the root entries and inner nodes that lead to
//! it; slots with the same lists share groups. One that nobody leads to any more waits for its readers before it is
//! given out again.

use firewall_common::image::Block;

use super::Memory;

/// Largest group.
pub(super) const MAX_GROUP: usize = firewall_common::prefix_set::BITMAP_BLOCKS as usize;

/// Freed blocks from which on waiting for readers pays.
const ENOUGH_TO_WAIT: u32 = 16_384;

/// The pool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lists need more than the {capacity} blocks of 64 bytes that there are")]
pub struct Full {
    /// Blocks in the pool.
    pub capacity: u32,
}

/// Blocks side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) first: u32,
    pub(super) count: u16,
}

/// The pool.
#[derive(Debug)]
pub(super) struct Arena<M> {
    pub(super) memory: M,
    /// Blocks from here on were never given out.
    fresh: u32,
    /// Free groups by size.
    free: Vec<Vec<u32>>,
    /// Groups that a reader may still know.
    resting: Vec<Group>,
    resting_blocks: u32,
    /// Who leads to a group, by its first block.
    holders: Vec<u8>,
    used: u32,
}

impl<M: Memory> Arena<M> {
    pub(super) fn new(memory: M) -> Self {
        Self {
            memory,
            fresh: 0,
            free: vec![Vec::new(); MAX_GROUP + 1],
            resting: Vec::new(),
            resting_blocks: 0,
            holders: Vec::new(),
            used: 0,
        }
    }

    /// Blocks that somebody leads to.
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// Takes a group with these blocks, for one holder.
    pub(super) fn take(&mut self, blocks: &[Block]) -> Result<Group, Full> {
        let group = self.find_room(blocks.len())?;
        for (place, block) in (group.first..).zip(blocks) {
            self.memory.write(place, block);
        }
        if let Some(holders) = self.holders.get_mut(group.first as usize) {
            *holders = 1;
        }
        self.used += u32::from(group.count);
        Ok(group)
    }

    fn find_room(&mut self, count: usize) -> Result<Group, Full> {
        if self.resting_blocks >= ENOUGH_TO_WAIT {
            self.wake();
        }
        if let Some(group) = self.room(count) {
            return Ok(group);
        }
        self.wake();
        self.join();
        self.room(count).ok_or(Full {
            capacity: self.memory.capacity(),
        })
    }

    fn room(&mut self, count: usize) -> Option<Group> {
        let size = u16::try_from(count).ok()?;
        if let Some(first) = self.free.get_mut(count)?.pop() {
            return Some(Group { first, count: size });
        }
        let end = self.fresh + u32::from(size);
        if end <= self.memory.capacity() {
            let first = std::mem::replace(&mut self.fresh, end);
            self.holders.resize(end as usize, 0);
            return Some(Group { first, count: size });
        }
        let larger = (count + 1..=MAX_GROUP).find(|size| !self.free[*size].is_empty())?;
        let first = self.free[larger].pop()?;
        self.free[larger - count].push(first + u32::from(size));
        Some(Group { first, count: size })
    }

    /// Waits for readers, and has free again what rested.
    pub(super) fn wake(&mut self) {
        if self.resting.is_empty() {
            return;
        }
        self.memory.wait_for_readers();
        for group in std::mem::take(&mut self.resting) {
            self.free[usize::from(group.count)].push(group.first);
        }
        self.resting_blocks = 0;
    }

    /// Joins free groups that lie side by side.
    fn join(&mut self) {
        let mut groups: Vec<(u32, u32)> = Vec::new();
        for (size, firsts) in (0_u32..).zip(&mut self.free) {
            groups.extend(firsts.drain(..).map(|first| (first, size)));
        }
        groups.sort_unstable();
        groups.dedup_by(|next, kept| {
            let touch = kept.0 + kept.1 == next.0;
            if touch {
                kept.1 += next.1;
            }
            touch
        });
        for (first, count) in groups {
            self.put_free(first, count);
        }
    }

    fn put_free(&mut self, first: u32, count: u32) {
        let (mut first, mut left) = (first, count as usize);
        while left > 0 {
            let size = left.min(MAX_GROUP);
            self.free[size].push(first);
            first += size as u32;
            left -= size;
        }
    }

    /// One more leads to a group.
    pub(super) fn hold(&mut self, first: u32) {
        if let Some(holders) = self.holders.get_mut(first as usize) {
            *holders = holders.saturating_add(1);
        }
    }

    /// One less leads to a group; true where nobody does any more.
    pub(super) fn let_go(&mut self, group: Group) -> bool {
        let Some(holders) = self.holders.get_mut(group.first as usize) else {
            return false;
        };
        *holders = holders.saturating_sub(1);
        if *holders > 0 {
            return false;
        }
        self.resting.push(group);
        self.resting_blocks += u32::from(group.count);
        self.used -= u32::from(group.count);
        true
    }

    /// Forgets who holds what, to count anew.
    pub(super) fn begin_count(&mut self) {
        self.free = vec![Vec::new(); MAX_GROUP + 1];
        self.resting.clear();
        self.resting_blocks = 0;
        self.holders.clear();
        self.used = 0;
        self.fresh = 0;
    }

    /// Counts a holder of a group; true for the first. `None` where the group cannot be one.
    pub(super) fn count(&mut self, group: Group) -> Option<bool> {
        let end = group.first.checked_add(group.count.into())?;
        if group.count == 0 || end > self.memory.capacity() {
            return None;
        }
        self.fresh = self.fresh.max(end);
        if self.holders.len() < end as usize {
            self.holders.resize(end as usize, 0);
        }
        let holders = self.holders.get_mut(group.first as usize)?;
        *holders = holders.saturating_add(1);
        let is_first = *holders == 1;
        if is_first {
            self.used += u32::from(group.count);
        }
        Some(is_first)
    }

    /// What lies between the counted groups is free. False where groups overlap.
    pub(super) fn end_count(&mut self, mut groups: Vec<Group>) -> bool {
        groups.sort_unstable();
        let mut next = 0;
        for group in groups {
            if group.first < next {
                return false;
            }
            self.put_free(next, group.first - next);
            next = group.first + u32::from(group.count);
        }
        true
    }
}
