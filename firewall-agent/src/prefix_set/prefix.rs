//! Prefixes of IPv6.

use firewall_common::address::Address;

/// An IPv6 prefix. The bits behind its length are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// Bits 127 to 64 of its first address.
    pub high: u64,
    /// Bits 63 to 0.
    pub low: u64,
    /// Bits, 0 to 128.
    pub length: u8,
}

impl Prefix {
    /// The prefix of this length that an address lies in.
    #[must_use]
    pub fn new(address: u128, length: u8) -> Self {
        let first = address & mask(length);
        Self {
            high: (first >> 64) as u64,
            low: first as u64,
            length,
        }
    }

    /// The first address.
    #[must_use]
    pub const fn first(&self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// The last address.
    #[must_use]
    pub fn last(&self) -> u128 {
        self.first() | !mask(self.length)
    }

    /// Whether all of `other` lies in this prefix.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.length <= other.length && other.first() & mask(self.length) == self.first()
    }

    /// The first address as tables write it.
    #[must_use]
    pub const fn address(&self) -> Address {
        Address {
            high: self.high,
            low: self.low,
        }
    }

    /// What is left of this prefix without `hole`, which it covers: a prefix for each bit between them, in order.
    pub(super) fn without(&self, hole: &Self) -> Vec<Self> {
        let siblings = (self.length + 1..=hole.length)
            .map(|length| Self::new(hole.first() ^ 1 << (128 - u32::from(length)), length));
        let mut siblings: Vec<Self> = siblings.collect();
        siblings.sort_unstable();
        siblings
    }

    /// The prefix that this one and its sibling make up.
    pub(super) fn parent(&self) -> Option<Self> {
        Some(Self::new(self.first(), self.length.checked_sub(1)?))
    }

    /// The fewest prefixes that make up a range.
    #[must_use]
    pub fn of_range(first: u128, last: u128) -> Vec<Self> {
        let mut prefixes = Vec::new();
        let mut from = first;
        while from <= last {
            let aligned = if from == 0 { 128 } else { from.trailing_zeros() };
            let mut bits = aligned;
            while bits > 0 && block_end(from, bits) > last {
                bits -= 1;
            }
            prefixes.push(Self::new(from, (128 - bits) as u8));
            match block_end(from, bits).checked_add(1) {
                Some(next) => from = next,
                None => break,
            }
        }
        prefixes
    }
}

/// The last of `2^bits` addresses.
const fn block_end(from: u128, bits: u32) -> u128 {
    if bits >= 128 {
        u128::MAX
    } else {
        from | ((1 << bits) - 1)
    }
}

const fn mask(length: u8) -> u128 {
    match length {
        0 => 0,
        _ => u128::MAX << (128 - length as u32),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_becomes_the_fewest_prefixes() {
        assert_eq!(Prefix::of_range(0, u128::MAX), [Prefix::new(0, 0)]);
        assert_eq!(Prefix::of_range(1, 4).len(), 3);
        assert_eq!(Prefix::of_range(7, 7), [Prefix::new(7, 128)]);
    }

    proptest! {
        #[test]
        fn pieces_are_disjoint_and_complete(first in any::<u128>(), span in any::<u64>()) {
            let last = first.saturating_add(u128::from(span));
            let mut next = first;
            for piece in Prefix::of_range(first, last) {
                prop_assert_eq!(piece.first(), next);
                next = piece.last().wrapping_add(1);
            }
            prop_assert_eq!(next, last.wrapping_add(1));
        }

        #[test]
        fn a_hole_leaves_the_rest(address in any::<u128>(), outer in 0..=128_u8, deeper in 0..=128_u8) {
            let outer = Prefix::new(address, outer);
            let hole = Prefix::new(address, outer.length.saturating_add(deeper).min(128));
            let mut parts = outer.without(&hole);
            parts.push(hole);
            parts.sort_unstable();
            let mut next = outer.first();
            for part in parts {
                prop_assert_eq!(part.first(), next);
                next = part.last().wrapping_add(1);
            }
            prop_assert_eq!(next, outer.last().wrapping_add(1));
        }
    }
}
