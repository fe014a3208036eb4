//! Algebra of sets written as sorted, disjoint, non-adjacent inclusive ranges.
//!
//! That form is unique for each set, so that equal sets are equal values.

use std::ops::RangeInclusive;

use super::model::Ranges;

/// A number that can bound a range.
pub(crate) trait Bound: Copy + Ord {
    /// The smallest value.
    const MIN: Self;
    /// The greatest value.
    const MAX: Self;
    /// The next value, if there is one.
    fn after(self) -> Option<Self>;
    /// The previous value, if there is one.
    fn before(self) -> Option<Self>;
}

macro_rules! bound {
    ($($number:ty),+) => {
        $(impl Bound for $number {
            const MIN: Self = <$number>::MIN;
            const MAX: Self = <$number>::MAX;
            fn after(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn before(self) -> Option<Self> {
                self.checked_sub(1)
            }
        })+
    };
}

bound!(u8, u16, u32, u128);

/// Every value.
pub(crate) fn full<T: Bound>() -> Ranges<T> {
    vec![T::MIN..=T::MAX]
}

pub(crate) fn is_full<T: Bound>(set: &Ranges<T>) -> bool {
    matches!(set.as_slice(), [only] if *only.start() == T::MIN && *only.end() == T::MAX)
}

/// Brings ranges of any order and overlap into the unique form; empty ranges vanish.
pub(crate) fn normalised<T: Bound>(mut ranges: Vec<RangeInclusive<T>>) -> Ranges<T> {
    ranges.retain(|range| range.start() <= range.end());
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut set: Ranges<T> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match set.last_mut() {
            Some(last) if touches(last, &range) => {
                *last = *last.start()..=(*last.end()).max(*range.end());
            }
            _ => set.push(range),
        }
    }
    set
}

/// Whether `next`, which does not begin before `last`, overlaps it or follows without a gap.
fn touches<T: Bound>(last: &RangeInclusive<T>, next: &RangeInclusive<T>) -> bool {
    last.end().after().is_none_or(|after| *next.start() <= after)
}

pub(crate) fn union<T: Bound>(left: &Ranges<T>, right: &Ranges<T>) -> Ranges<T> {
    normalised(left.iter().chain(right).cloned().collect())
}

pub(crate) fn intersection<T: Bound>(left: &Ranges<T>, right: &Ranges<T>) -> Ranges<T> {
    let (mut left_at, mut right_at) = (0, 0);
    let mut common = Vec::new();
    while let (Some(a), Some(b)) = (left.get(left_at), right.get(right_at)) {
        let (start, end) = ((*a.start()).max(*b.start()), (*a.end()).min(*b.end()));
        if start <= end {
            common.push(start..=end);
        }
        if a.end() <= b.end() {
            left_at += 1;
        } else {
            right_at += 1;
        }
    }
    common
}

pub(crate) fn complement<T: Bound>(set: &Ranges<T>) -> Ranges<T> {
    let mut gaps = Vec::with_capacity(set.len() + 1);
    let mut from = Some(T::MIN);
    for range in set {
        if let (Some(start), Some(end)) = (from, range.start().before())
            && start <= end
        {
            gaps.push(start..=end);
        }
        from = range.end().after();
    }
    if let Some(start) = from {
        gaps.push(start..=T::MAX);
    }
    gaps
}

pub(crate) fn difference<T: Bound>(left: &Ranges<T>, right: &Ranges<T>) -> Ranges<T> {
    intersection(left, &complement(right))
}

pub(crate) fn contains<T: Bound>(set: &Ranges<T>, value: T) -> bool {
    let after = set.partition_point(|range| *range.end() < value);
    set.get(after).is_some_and(|range| *range.start() <= value)
}

pub(crate) fn is_subset<T: Bound>(part: &Ranges<T>, whole: &Ranges<T>) -> bool {
    let mut at = 0;
    part.iter().all(|range| {
        while whole
            .get(at)
            .is_some_and(|candidate| candidate.end() < range.end())
        {
            at += 1;
        }
        // No two ranges of a set touch, so that a subset's range lies within one range of the whole.
        whole
            .get(at)
            .is_some_and(|candidate| candidate.start() <= range.start())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn naive(set: &Ranges<u8>) -> BTreeSet<u8> {
        set.iter().cloned().flatten().collect()
    }

    fn any_set() -> impl Strategy<Value = Ranges<u8>> {
        let ends = prop_oneof![Just(0u8), Just(255u8), any::<u8>()];
        prop::collection::vec((ends.clone(), ends).prop_map(|(a, b)| a..=b), 0..6).prop_map(normalised)
    }

    fn assert_unique_form(set: &Ranges<u8>) {
        for range in set {
            assert!(range.start() <= range.end(), "{set:?}");
        }
        for pair in set.windows(2) {
            assert!(
                u16::from(*pair[0].end()) + 1 < u16::from(*pair[1].start()),
                "{set:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn agrees_with_naive_sets(left in any_set(), right in any_set()) {
            let (a, b) = (naive(&left), naive(&right));
            let union = union(&left, &right);
            let intersection = intersection(&left, &right);
            let difference = difference(&left, &right);
            let complement = complement(&left);
            prop_assert_eq!(naive(&union), a.union(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(naive(&intersection), a.intersection(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(naive(&difference), a.difference(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(naive(&complement), (0..=255).filter(|n| !a.contains(n)).collect::<BTreeSet<_>>());
            prop_assert_eq!(is_subset(&left, &right), a.is_subset(&b));
            for set in [&left, &union, &intersection, &difference, &complement] {
                assert_unique_form(set);
            }
            for value in 0..=255 {
                prop_assert_eq!(contains(&left, value), a.contains(&value));
            }
        }
    }

    #[test]
    fn touching_ranges_become_one() {
        assert_eq!(
            normalised(vec![5u8..=9, 0..=4, 20..=255, 250..=255]),
            vec![0..=9, 20..=255]
        );
    }

    #[test]
    fn the_complement_of_everything_is_nothing() {
        assert!(complement(&full::<u128>()).is_empty());
        assert!(is_full(&complement::<u128>(&Vec::new())));
    }
}
