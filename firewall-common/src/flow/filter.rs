//! A filter of a bucket: a byte of tag for each way, and whether flows of this filter have gone to another bucket.
//!
//! A tag is written under the bucket's lock before its flow is, and stays when the flow ends. So a filter may name what
//! is not there, and never misses what is.

use super::table::BUCKET_WAYS;

const BYTES: u64 = 0x0001_0101_0101_0101;
const HIGH_BITS: u64 = BYTES << 7;
const OVERFLOWED: u64 = 1 << 56;

const _: () = assert!(BYTES.count_ones() as usize == BUCKET_WAYS);

/// Zero is also the tag of a way that has held nothing yet: one hash in 256 is named by every such way.
#[inline(always)]
const fn tag(hash: u64) -> u64 {
    hash >> 40 & 0xff
}

/// Whether a way has this hash's tag.
#[inline(always)]
pub(super) const fn names(filter: u64, hash: u64) -> bool {
    // A byte is zero where the tags agree; the borrow of a subtraction finds it (Mycroft 1987). A borrow that runs on
    // finds more than that, never less.
    let differences = filter ^ tag(hash).wrapping_mul(BYTES);
    differences.wrapping_sub(BYTES) & !differences & HIGH_BITS != 0
}

/// With this hash's tag at `way`.
#[inline(always)]
pub(super) const fn naming(filter: u64, way: usize, hash: u64) -> u64 {
    let shift = (way as u32 & 7) * 8;
    filter & !(0xff << shift) | tag(hash) << shift
}

/// Whether a flow of this bucket may lie in its second one.
#[inline(always)]
pub(super) const fn has_overflowed(filter: u64) -> bool {
    filter & OVERFLOWED != 0
}

/// With that mark.
#[inline(always)]
pub(super) const fn overflowed(filter: u64) -> u64 {
    filter | OVERFLOWED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_found_and_others_hardly_ever() {
        let hash = |number: u64| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut filter = 0;
        assert!(!names(filter, hash(100)), "nothing is there yet");
        for way in 0..BUCKET_WAYS {
            filter = naming(filter, way, hash(way as u64));
            for held in 0..=way {
                assert!(names(filter, hash(held as u64)));
            }
        }
        let strangers = (1000..11_000)
            .filter(|&number| names(filter, hash(number)))
            .count();
        assert!(strangers < 1000, "{strangers} of 10,000");
    }

    #[test]
    fn the_mark_of_an_overflow_is_no_tag() {
        let full = (0..BUCKET_WAYS).fold(0, |filter, way| naming(filter, way, 7 << 40));
        assert!(!has_overflowed(full));
        let marked = overflowed(full);
        assert!(has_overflowed(marked) && names(marked, 7 << 40) && !names(marked, 9 << 40));
        assert!(!names(overflowed(0), 1 << 40), "the mark is not the tag 1");
        assert!(
            names(0, 0),
            "the tag of nothing is named too often, never too rarely"
        );
    }
}
