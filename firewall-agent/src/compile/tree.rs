//! Lays out interval trees (see [`firewall_common::image::TreeDescriptor`]).

use bytemuck::Zeroable;
use firewall_common::image::{Block, TREE_LEVELS, TreeDescriptor};

use super::{CompileError, key::Key, pool::Pool};

/// Payloads in a block.
const PAYLOADS_PER_BLOCK: usize = 16;

/// Most intervals of a tree.
fn limit<K: Key>() -> u64 {
    (0..TREE_LEVELS)
        .fold(1u64, |keys, _| keys.saturating_mul(K::PER_BLOCK.into()))
        .min(u32::MAX.into())
}

/// Intervals that cover the whole key space, by their starts; the first start is zero.
#[derive(Debug)]
pub(super) struct Intervals<K> {
    starts: Vec<K>,
    payloads: Vec<u32>,
}

impl<K: Key> Intervals<K> {
    pub(super) fn new() -> Self {
        Self {
            starts: Vec::new(),
            payloads: Vec::new(),
        }
    }

    /// Adds the interval from `start` on, unless the one before says the same.
    pub(super) fn push(&mut self, start: K, payload: u32) {
        if self.payloads.last() != Some(&payload) {
            self.starts.push(start);
            self.payloads.push(payload);
        }
    }

    /// Lays the tree; returns the block of its descriptor.
    pub(super) fn lay(&self, pool: &mut Pool, what: &'static str) -> Result<u32, CompileError> {
        let per_block = K::PER_BLOCK as usize;
        let limit = limit::<K>();
        let too_many = CompileError::TooManyIntervals {
            what,
            intervals: self.starts.len(),
            limit,
        };
        if self.starts.len() as u64 > limit {
            return Err(too_many);
        }
        let mut descriptor = TreeDescriptor {
            count: u32::try_from(self.starts.len()).map_err(|_| too_many)?,
            payload: pool.intern(&self.payload_blocks())?,
            ..TreeDescriptor::zeroed()
        };
        let mut keys = self.starts.clone();
        for base in &mut descriptor.bases {
            let blocks: Vec<Block> = keys.chunks(per_block).map(K::block).collect();
            *base = pool.intern(&blocks)?;
            descriptor.levels += 1;
            if blocks.len() == 1 {
                break;
            }
            keys = keys.iter().copied().step_by(per_block).collect();
        }
        pool.intern(&[bytemuck::cast(descriptor)])
    }

    fn payload_blocks(&self) -> Vec<Block> {
        self.payloads
            .chunks(PAYLOADS_PER_BLOCK)
            .map(|payloads| {
                let mut places = [0u32; PAYLOADS_PER_BLOCK];
                places[..payloads.len()].copy_from_slice(payloads);
                Block(bytemuck::cast(places))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use firewall_common::{interval, tables::SliceImage};

    use super::*;

    /// Lays so many intervals, three keys wide each, and looks every one of them up at both its ends.
    fn finds_all<K: Key + From<u16>>(count: u16) {
        let mut pool = Pool::new();
        pool.append(&[Block([0; 8])]).expect("there is room");
        let mut intervals = Intervals::new();
        for number in 0..count {
            intervals.push(K::from(number * 3), 1000 + u32::from(number));
        }
        let tree = intervals.lay(&mut pool, "keys").expect("there is room");
        let blocks = pool.into_blocks();
        let find = |key: K| interval::find(&SliceImage(&blocks), tree, key);
        for number in 0..count {
            for key in [number * 3, number * 3 + 1, number * 3 + 2] {
                assert_eq!(
                    find(K::from(key)),
                    Some(1000 + u32::from(number)),
                    "{key} of {count}"
                );
            }
        }
        let last = Some(1000 + u32::from(count) - 1);
        assert_eq!(find(K::from(count * 3 + 5)), last);
        assert_eq!(find(K::from(u16::MAX)), last);
    }

    #[test]
    fn counts_around_the_sizes_of_levels() {
        for edge in [1u16, 4, 16, 32, 64, 256, 512, 1024, 4096] {
            for count in [edge - 1, edge, edge + 1, edge * 2] {
                if count > 0 {
                    finds_all::<u16>(count);
                    finds_all::<u32>(count);
                    finds_all::<u128>(count);
                }
            }
        }
    }

    #[test]
    fn the_last_key_of_each_width_is_found() {
        let mut pool = Pool::new();
        pool.append(&[Block([0; 8])]).expect("there is room");
        let mut intervals = Intervals::new();
        intervals.push(0u128, 7);
        intervals.push(1 << 64, 8);
        intervals.push(u128::MAX, 9);
        let tree = intervals.lay(&mut pool, "keys").expect("there is room");
        let blocks = pool.into_blocks();
        for (key, payload) in [
            (0, 7),
            (u128::from(u64::MAX), 7),
            (1 << 64, 8),
            (u128::MAX - 1, 8),
            (u128::MAX, 9),
        ] {
            assert_eq!(
                interval::find(&SliceImage(&blocks), tree, key),
                Some(payload),
                "{key:#x}"
            );
        }
    }

    #[test]
    fn intervals_that_say_the_same_are_one() {
        let mut intervals = Intervals::new();
        for start in 0..100u16 {
            intervals.push(start, u32::from(start / 50));
        }
        assert_eq!(intervals.starts, [0, 50]);
    }

    #[test]
    fn ipv6_trees_have_an_exact_limit() {
        assert_eq!(limit::<u128>(), 1 << 20);
        let mut intervals = Intervals::new();
        for start in 0..=1u32 << 20 {
            intervals.push(u128::from(start), start);
        }
        let error = intervals.lay(&mut Pool::new(), "keys").expect_err("one too many");
        assert_eq!(
            error,
            CompileError::TooManyIntervals {
                what: "keys",
                intervals: (1 << 20) + 1,
                limit: 1 << 20
            }
        );
        intervals.starts.pop();
        intervals.payloads.pop();
        assert!(intervals.lay(&mut Pool::new(), "keys").is_ok());
    }
}
