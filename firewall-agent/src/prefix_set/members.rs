//! What a set is to have as its members.

use super::Prefix;

/// Members in order, merged: ranges of IPv4 that neither overlap nor touch, and disjoint prefixes of IPv6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    v4: Vec<(u32, u32)>,
    v6: Vec<Prefix>,
}

impl Members {
    /// Brings ranges (first and last address) and prefixes into order, and merges them.
    #[must_use]
    pub fn new(mut v4: Vec<(u32, u32)>, mut v6: Vec<Prefix>) -> Self {
        v4.sort_unstable();
        v6.sort_unstable();
        let mut members = Self {
            v4: merged_ranges(v4),
            v6: merged_prefixes(v6),
        };
        members.v4.shrink_to_fit();
        members.v6.shrink_to_fit();
        members
    }

    /// Ranges of IPv4, first and last address.
    #[must_use]
    pub fn v4(&self) -> &[(u32, u32)] {
        &self.v4
    }

    /// Prefixes of IPv6.
    #[must_use]
    pub fn v6(&self) -> &[Prefix] {
        &self.v6
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Merges sorted ranges in place.
fn merged_ranges(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.dedup_by(|next, kept| {
        // `kept` begins no later than `next`; they touch where no address lies between them.
        let touch = next.0 <= kept.1.saturating_add(1);
        if touch {
            kept.1 = kept.1.max(next.1);
        }
        touch
    });
    ranges
}

/// Merges sorted prefixes in place. A prefix sorts before all that it covers.
fn merged_prefixes(mut prefixes: Vec<Prefix>) -> Vec<Prefix> {
    let mut kept = 0;
    for place in 0..prefixes.len() {
        let mut next = prefixes[place];
        if kept > 0 && prefixes[kept - 1].covers(&next) {
            continue;
        }
        // Two halves make a whole, which may be a half of a larger one.
        while kept > 0
            && let last = prefixes[kept - 1]
            && last.length == next.length
            && let Some(parent) = next.parent()
            && parent.covers(&last)
        {
            kept -= 1;
            next = parent;
        }
        prefixes[kept] = next;
        kept += 1;
    }
    prefixes.truncate(kept);
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        let members = Members::new(
            vec![(5, 6), (1, 2), (3, 4), (10, 20), (12, 13), (u32::MAX, u32::MAX)],
            Vec::new(),
        );
        assert_eq!(members.v4(), [(1, 6), (10, 20), (u32::MAX, u32::MAX)]);
    }

    #[test]
    fn halves_become_wholes_again_and_again() {
        let quarters = (0..4).map(|quarter| Prefix::new(quarter << 126, 2));
        assert_eq!(
            Members::new(Vec::new(), quarters.collect()).v6(),
            [Prefix::new(0, 0)]
        );
        let apart = vec![Prefix::new(1 << 126, 2), Prefix::new(2 << 126, 2)];
        assert_eq!(
            Members::new(Vec::new(), apart.clone()).v6(),
            apart,
            "no halves of one whole"
        );
    }
}
