//! Divides one dimension into intervals in each of which the same entries of a chain match.

use std::ops::RangeInclusive;

use firewall_common::image::NO_BLOCK;

use super::{CompileError, arrange::Arrangement, key::Key, pool::Pool, rows::Row};

/// Consecutive intervals that cover a whole key space, by their starts and what each leads to.
#[derive(Debug)]
pub(super) struct Intervals<K> {
    starts: Vec<K>,
    leaves: Vec<u32>,
}

impl<K: Key> Intervals<K> {
    pub(super) fn new() -> Self {
        Self {
            starts: Vec::new(),
            leaves: Vec::new(),
        }
    }

    /// Adds the interval from `start` on, unless the one before says the same.
    pub(super) fn push(&mut self, start: K, leaf: u32) {
        if self.leaves.last() != Some(&leaf) {
            self.starts.push(start);
            self.leaves.push(leaf);
        }
    }

    /// Lays the trie; returns the reference to its root.
    pub(super) fn lay(&self, pool: &mut Pool) -> Result<u32, CompileError> {
        K::lay(pool, &self.starts, &self.leaves)
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

/// Lays the trie and the rows of one dimension; [`NO_BLOCK`] where no entry has a condition.
pub(super) fn lay<'a, K: Key + 'a>(
    pool: &mut Pool,
    arrangement: &Arrangement,
    conditions: impl Iterator<Item = Condition<'a, K>> + Clone,
) -> Result<u32, CompileError> {
    if conditions.clone().all(|condition| condition.is_none()) {
        return Ok(NO_BLOCK);
    }
    let mut row = Row::new(arrangement);
    let mut changes = Vec::new();
    for (condition, &place) in conditions.zip(arrangement.places()) {
        match condition {
            None => row.set(place, true),
            Some(ranges) => changes.extend(ranges.iter().flat_map(|range| changes_of(range, place))),
        }
    }
    // Where one range ends and the next begins, the end comes first.
    changes.sort_unstable_by_key(|change| (change.at, change.begins));

    let mut intervals = Intervals::new();
    let mut changes = changes.iter().peekable();
    let mut start = K::ZERO;
    loop {
        while let Some(change) = changes.next_if(|change| change.at == start) {
            row.set(change.place, change.begins);
        }
        intervals.push(start, row.lay(pool)?);
        match changes.peek() {
            Some(change) => start = change.at,
            None => break,
        }
    }
    intervals.lay(pool)
}

/// From `at` on an entry matches, or no longer does.
struct Change<K> {
    at: K,
    begins: bool,
    place: u32,
}

fn changes_of<K: Key>(range: &RangeInclusive<K>, place: u32) -> impl Iterator<Item = Change<K>> + use<K> {
    let begin = Change {
        at: *range.start(),
        begins: true,
        place,
    };
    let end = range.end().successor().map(|at| Change {
        at,
        begins: false,
        place,
    });
    [Some(begin), end].into_iter().flatten()
}
