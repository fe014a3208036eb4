//! Divides one dimension into intervals in each of which the same entries of a chain match.

use std::ops::RangeInclusive;

use firewall_common::image::{Block, NO_BLOCK, RULES_PER_BLOCK};

use super::{CompileError, key::Key, pool::Pool, tree::Intervals};

/// A bit for each entry of a chain.
#[derive(Debug, Clone)]
pub(super) struct BitVector(Vec<Block>);

impl BitVector {
    /// All bits clear, for a chain of this length.
    pub(super) fn new(entries: usize) -> Self {
        Self(vec![Block([0; 8]); entries.div_ceil(RULES_PER_BLOCK as usize)])
    }

    pub(super) fn set(&mut self, entry: usize, value: bool) {
        let bit = entry % RULES_PER_BLOCK as usize;
        let word = &mut self.0[entry / RULES_PER_BLOCK as usize].0[bit / 64];
        if value {
            *word |= 1 << (bit % 64);
        } else {
            *word &= !(1 << (bit % 64));
        }
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.0
    }

    pub(super) fn into_blocks(self) -> Vec<Block> {
        self.0
    }
}

/// Ranges of a condition must be in order and must not overlap, as [`crate::policy::model`] promises.
pub(super) fn check_order<K: Key>(
    ranges: &[RangeInclusive<K>],
    what: &'static str,
    owner: &str,
) -> Result<(), CompileError> {
    let forward = ranges.iter().all(|range| range.start() <= range.end());
    let apart = ranges.windows(2).all(|pair| pair[0].end() < pair[1].start());
    if forward && apart {
        return Ok(());
    }
    Err(CompileError::Unsorted {
        what,
        owner: owner.into(),
    })
}

/// One entry's condition in a dimension; `None` where it has none.
pub(super) type Condition<'a, K> = Option<&'a [RangeInclusive<K>]>;

/// Lays the tree and the bit vectors of one dimension; [`NO_BLOCK`] where no entry has a condition.
pub(super) fn lay<'a, K: Key + 'a>(
    pool: &mut Pool,
    conditions: &[Condition<'a, K>],
    what: &'static str,
) -> Result<u32, CompileError> {
    if conditions.iter().all(Option::is_none) {
        return Ok(NO_BLOCK);
    }
    let mut current = BitVector::new(conditions.len());
    let mut changes = Vec::new();
    for (entry, condition) in conditions.iter().enumerate() {
        match condition {
            None => current.set(entry, true),
            Some(ranges) => changes.extend(ranges.iter().flat_map(|range| changes_of(range, entry))),
        }
    }
    // Where one range ends and the next begins, the end comes first.
    changes.sort_unstable_by_key(|change| (change.at, change.begins));

    let mut intervals = Intervals::new();
    let mut changes = changes.iter().peekable();
    let mut start = K::ZERO;
    loop {
        while let Some(change) = changes.next_if(|change| change.at == start) {
            current.set(change.entry, change.begins);
        }
        intervals.push(start, pool.intern(current.blocks())?);
        match changes.peek() {
            Some(change) => start = change.at,
            None => break,
        }
    }
    intervals.lay(pool, what)
}

/// From `at` on an entry matches, or no longer does.
struct Change<K> {
    at: K,
    begins: bool,
    entry: usize,
}

fn changes_of<K: Key>(range: &RangeInclusive<K>, entry: usize) -> impl Iterator<Item = Change<K>> + use<K> {
    let begin = Change {
        at: *range.start(),
        begins: true,
        entry,
    };
    let end = range.end().successor().map(|at| Change {
        at,
        begins: false,
        entry,
    });
    [Some(begin), end].into_iter().flatten()
}
