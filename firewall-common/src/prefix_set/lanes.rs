//! The 32 numbers of a block, four to a word, compared without a branch.

use crate::image::Block;

/// The lowest bit of each lane.
const LOW: u64 = 0x0001_0001_0001_0001;
/// The highest bit of each lane.
const HIGH: u64 = 0x8000_8000_8000_8000;

/// `value` in each lane.
#[inline(always)]
pub(super) const fn spread(value: u16) -> u64 {
    value as u64 * LOW
}

/// Whether one of the numbers is `value`.
#[inline(always)]
pub(super) fn any_equal(block: &Block, value: u16) -> bool {
    let value = spread(value);
    let mut zero = 0;
    for word in block.0 {
        let difference = word ^ value;
        // The highest bit of a lane is set if the lane is zero, and in no word without such a lane.
        zero |= difference.wrapping_sub(LOW) & !difference;
    }
    zero & HIGH != 0
}

/// Whether one of the upper three lanes of a word is `value`.
#[inline(always)]
pub(super) const fn any_of_three(word: u64, value: u16) -> bool {
    let lowest_repeats_next = word & !0xffff | word >> 16 & 0xffff;
    let difference = lowest_repeats_next ^ spread(value);
    difference.wrapping_sub(LOW) & !difference & HIGH != 0
}

/// The highest bit of each lane where the number is at least `value`'s.
#[inline(always)]
const fn at_least(word: u64, value: u64) -> u64 {
    let lower_bits = (word | HIGH) - (value & !HIGH);
    ((word & !value) | (!(word ^ value) & lower_bits)) & HIGH
}

/// Whether an odd number of the numbers is below `value`, as 0 or 1. There are 32, so that it is as good to count
/// those that are not.
#[inline(always)]
pub(super) fn odd_below(block: &Block, value: u16) -> u64 {
    let value = spread(value);
    let mut odd = 0;
    for word in block.0 {
        odd ^= at_least(word, value);
    }
    let odd = odd ^ odd >> 32;
    (odd ^ odd >> 16) >> 15 & 1
}

/// How many of the numbers are below `value`.
#[inline(always)]
pub(super) fn count_below(block: &Block, value: u16) -> u32 {
    let value = spread(value);
    let mut counts: u64 = 0;
    for word in block.0 {
        counts += at_least(word, value) >> 15;
    }
    32 - (counts.wrapping_mul(LOW) >> 48) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(numbers: &[u16]) -> Block {
        let mut block = Block([0; 8]);
        for (place, number) in numbers.iter().enumerate() {
            block.0[place / 4] |= u64::from(*number) << (place % 4 * 16);
        }
        block
    }

    proptest! {
        #[test]
        fn lanes_count_like_a_loop(
            numbers in proptest::collection::vec(prop_oneof![any::<u16>(), 0x7ffe..0x8002_u16, Just(0), Just(u16::MAX)], 32),
            value in prop_oneof![any::<u16>(), 0x7ffe..0x8002_u16, Just(0), Just(u16::MAX)],
        ) {
            let block = block(&numbers);
            let below = numbers.iter().filter(|number| **number < value).count();
            prop_assert_eq!(count_below(&block, value) as usize, below);
            prop_assert_eq!(odd_below(&block, value) as usize, below % 2);
            prop_assert_eq!(any_equal(&block, value), numbers.contains(&value));
            prop_assert_eq!(any_of_three(block.0[0], value), numbers[1..4].contains(&value));
        }
    }
}
