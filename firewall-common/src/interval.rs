//! Look-ups in interval trees (see [`crate::image::TreeDescriptor`]).

use crate::{
    image::{Block, TREE_LEVELS, TreeDescriptor},
    opaque::{incremented, reloaded},
    tables::Image,
};

/// A key type of an interval tree.
pub trait TreeKey: Copy {
    /// Keys in a block.
    const PER_BLOCK: u32;
    /// How many keys of `block` are at or below `self`.
    fn rank(self, block: &Block) -> u32;
}

/// 1 where `key <= wanted`, else 0, without a branch; both below 2⁶³.
#[inline(always)]
const fn at_or_below(key: u64, wanted_plus_one: u64) -> u64 {
    key.wrapping_sub(wanted_plus_one) >> 63
}

impl TreeKey for u16 {
    const PER_BLOCK: u32 = 32;

    #[inline(always)]
    fn rank(self, block: &Block) -> u32 {
        let wanted = incremented(u64::from(self));
        let mut rank = 0;
        for word in block.0 {
            rank += at_or_below(word & 0xffff, wanted);
            rank += at_or_below(word >> 16 & 0xffff, wanted);
            rank += at_or_below(word >> 32 & 0xffff, wanted);
            rank += at_or_below(word >> 48, wanted);
        }
        rank as u32
    }
}

impl TreeKey for u32 {
    const PER_BLOCK: u32 = 16;

    #[inline(always)]
    fn rank(self, block: &Block) -> u32 {
        let wanted = incremented(u64::from(self));
        let mut rank = 0;
        for word in block.0 {
            rank += at_or_below(word & 0xffff_ffff, wanted);
            rank += at_or_below(word >> 32, wanted);
        }
        rank as u32
    }
}

impl TreeKey for u128 {
    const PER_BLOCK: u32 = 4;

    #[inline(always)]
    fn rank(self, block: &Block) -> u32 {
        let [a, b, c, d, e, f, g, h] = block.0;
        let mut rank = 0;
        for (low, high) in [(a, b), (c, d), (e, f), (g, h)] {
            let key = u128::from(high) << 64 | u128::from(low);
            if key <= self {
                rank += 1;
            }
        }
        rank
    }
}

/// Payload of the interval that holds `key`. `None` only where the image is damaged.
#[inline(always)]
pub fn find<K: TreeKey>(image: &impl Image, tree: u32, key: K) -> Option<u32> {
    let descriptor: &TreeDescriptor = bytemuck::cast_ref(image.block(tree)?);
    let mut index = image.forget(0);
    let mut level = TREE_LEVELS;
    // Counts down from a constant: the verifier follows the level, whatever the image says.
    while level > 0 {
        level -= 1;
        if level as u32 >= reloaded(&descriptor.levels) {
            continue;
        }
        let block = image.block(descriptor.bases.get(level)?.wrapping_add(index))?;
        index = index
            .wrapping_mul(K::PER_BLOCK)
            .wrapping_add(key.rank(block))
            .wrapping_sub(1);
        // The padding of a block repeats the last key, so a high key may rank past the level's end.
        let last = reloaded(&descriptor.count).wrapping_sub(1);
        let level_last = level_last(last, level, K::PER_BLOCK);
        if index > level_last {
            index = level_last;
        }
        index = image.forget(index);
    }
    payload(image, descriptor.payload, index)
}

/// As [`find`], of a tree of one level or two; `None` where it has more. Without a loop, it costs the verifier little.
#[inline(always)]
pub fn find_in_small<K: TreeKey>(image: &impl Image, tree: u32, key: K) -> Option<u32> {
    let descriptor: &TreeDescriptor = bytemuck::cast_ref(image.block(tree)?);
    let last = descriptor.count.wrapping_sub(1);
    let mut at = 0;
    if descriptor.levels > 2 {
        return None;
    }
    if descriptor.levels == 2 {
        at = step(image, descriptor.bases[1], 0, key)?;
        at = image.forget(at.min(level_last(last, 1, K::PER_BLOCK)));
    }
    at = step(image, descriptor.bases[0], at, key)?;
    payload(image, descriptor.payload, image.forget(at.min(last)))
}

/// Number of the key at or below `key`, in the block of number `index` of a level.
#[inline(always)]
fn step<K: TreeKey>(image: &impl Image, base: u32, index: u32, key: K) -> Option<u32> {
    let block = image.block(base.wrapping_add(index))?;
    Some(
        index
            .wrapping_mul(K::PER_BLOCK)
            .wrapping_add(key.rank(block))
            .wrapping_sub(1),
    )
}

/// Number of the last key at `level` of a tree whose level 0 ends at `last`.
#[inline(always)]
const fn level_last(last: u32, level: usize, per_block: u32) -> u32 {
    (last as u64 >> (level as u32 * per_block.trailing_zeros())) as u32
}

#[inline(always)]
fn payload(image: &impl Image, base: u32, index: u32) -> Option<u32> {
    let block = image.block(base.wrapping_add(index >> 4))?;
    let word = block.0[(index as usize >> 1) & 7];
    Some((word >> ((index & 1) * 32)) as u32)
}
