//! Finds which of many intervals overlap a given one.

use std::ops::RangeInclusive;

/// Intervals by the number of their owner. All are known from the start, so that their order is; only those whose owner
/// was switched on are found.
#[derive(Debug)]
pub(super) struct IntervalIndex {
    /// Start, end and owner, by start.
    by_start: Vec<(u128, u128, usize)>,
    /// For each owner, where in `by_start` its intervals are.
    positions: Vec<Vec<usize>>,
    /// All ends, sorted.
    ends: Vec<u128>,
    /// Greatest end of what is switched on in each subtree: a binary heap over `by_start`.
    greatest_end: Vec<Option<u128>>,
}

impl IntervalIndex {
    /// Owners are numbered in the order of the iterator; all are switched off.
    pub(super) fn new<'r>(owners: impl Iterator<Item = &'r [RangeInclusive<u128>]>) -> Self {
        let mut by_start = Vec::new();
        let mut positions = Vec::new();
        for (owner, intervals) in owners.enumerate() {
            by_start.extend(
                intervals
                    .iter()
                    .map(|interval| (*interval.start(), *interval.end(), owner)),
            );
            positions.push(Vec::with_capacity(intervals.len()));
        }
        by_start.sort_unstable();
        for (at, (_, _, owner)) in by_start.iter().enumerate() {
            positions[*owner].push(at);
        }
        let mut ends: Vec<_> = by_start.iter().map(|(_, end, _)| *end).collect();
        ends.sort_unstable();
        let greatest_end = vec![None; 2 * by_start.len().next_power_of_two()];
        Self {
            by_start,
            positions,
            ends,
            greatest_end,
        }
    }

    /// Lets the intervals of this owner be found from now on.
    pub(super) fn switch_on(&mut self, owner: usize) {
        for at in &self.positions[owner] {
            let end = Some(self.by_start[*at].1);
            let mut node = self.greatest_end.len() / 2 + at;
            while node > 0 && self.greatest_end[node] < end {
                self.greatest_end[node] = end;
                node /= 2;
            }
        }
    }

    /// How many intervals overlap `wanted`, switched on or not.
    pub(super) fn count(&self, wanted: &RangeInclusive<u128>) -> usize {
        let begun = self.by_start.partition_point(|(start, ..)| start <= wanted.end());
        let over = self.ends.partition_point(|end| end < wanted.start());
        begun - over
    }

    /// The owners of the intervals that overlap `wanted` and are switched on, in any order, once for each interval.
    pub(super) fn overlapping<'i>(
        &'i self,
        wanted: &RangeInclusive<u128>,
    ) -> impl Iterator<Item = usize> + use<'i> {
        let begun = self.by_start.partition_point(|(start, ..)| start <= wanted.end());
        let from = *wanted.start();
        // Node, and the first and the number of the intervals below it.
        let mut open = vec![(1, 0, self.greatest_end.len() / 2)];
        std::iter::from_fn(move || {
            while let Some((node, first, width)) = open.pop() {
                if first >= begun || self.greatest_end[node].is_none_or(|end| end < from) {
                    continue;
                }
                if width == 1 {
                    return Some(self.by_start[first].2);
                }
                let half = width / 2;
                open.extend([(2 * node, first, half), (2 * node + 1, first + half, half)]);
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval() -> impl Strategy<Value = RangeInclusive<u128>> {
        (0u128..20, 0u128..20).prop_map(|(a, b)| a.min(b)..=a.max(b))
    }

    proptest! {
        #[test]
        fn finds_what_a_scan_finds(
            owners in prop::collection::vec(prop::collection::vec(interval(), 0..3), 0..30),
            wanted in interval(),
        ) {
            let mut index = IntervalIndex::new(owners.iter().map(Vec::as_slice));
            let overlaps = |interval: &&RangeInclusive<u128>| {
                interval.start() <= wanted.end() && interval.end() >= wanted.start()
            };
            prop_assert_eq!(index.count(&wanted), owners.iter().flatten().filter(overlaps).count());
            for on in 0..owners.len() {
                let mut found: Vec<_> = index.overlapping(&wanted).collect();
                found.sort_unstable();
                let scan = (0..on).flat_map(|owner| owners[owner].iter().filter(overlaps).map(move |_| owner));
                prop_assert_eq!(found, scan.collect::<Vec<_>>());
                index.switch_on(on);
            }
        }
    }
}
