//! Look-ups in the tries of an image (see [`crate::image::node`]).

use crate::{
    address::{Address, Family},
    image::{Block, MAX_NUMBER_STEPS, MAX_V6_STEPS, node},
    opaque::incremented,
    tables::Image,
};

/// What a key of up to 32 bits leads to. `None` only where the image is damaged.
#[inline(always)]
pub fn find_number<I: Image>(image: &I, trie: u32, key: u32) -> Option<u32> {
    let mut at = image.forget(trie);
    let mut left = MAX_NUMBER_STEPS;
    while left > 0 {
        let block = node::block(at);
        at = match node::kind(at) {
            node::LEAF => return Some(at),
            node::RANK => {
                let place = rank_32(image.block(block)?, key);
                entry(image, block.wrapping_add(1), place)?
            }
            node::BYTE => entry(image, block, key.wrapping_shr(node::shift(at)) & 0xff)?,
            _ => entry(image, block, key >> 16)?,
        };
        at = image.forget(at);
        left -= 1;
    }
    None
}

/// As [`find_number`], of an IPv6 address.
#[inline(always)]
pub fn find_v6<I: Image>(image: &I, trie: u32, address: &Address) -> Option<u32> {
    let mut at = image.forget(trie);
    let mut left = MAX_V6_STEPS;
    while left > 0 {
        let block = node::block(at);
        at = match node::kind(at) {
            node::LEAF => return Some(at),
            node::RANK => {
                let half = if node::shift(at) == 0 {
                    address.high
                } else {
                    address.low
                };
                let place = rank_64(image.block(block)?, half);
                entry(image, block.wrapping_add(1), place)?
            }
            node::BYTE => entry(image, block, (address.high >> node::shift(at)) as u32 & 0xff)?,
            _ => entry(image, block, (address.low >> node::shift(at)) as u32 & 0xff)?,
        };
        at = image.forget(at);
        left -= 1;
    }
    None
}

/// As [`find_number`], of an address.
#[inline(always)]
pub fn find_address<I: Image>(image: &I, trie: u32, family: Family, address: &Address) -> Option<u32> {
    match family {
        Family::V4 => find_number(image, trie, address.low as u32),
        Family::V6 => find_v6(image, trie, address),
    }
}

/// Word `place` of the run of blocks from `first` on.
#[inline(always)]
fn entry(image: &impl Image, first: u32, place: u32) -> Option<u32> {
    let block = image.block(first.wrapping_add(place >> 4))?;
    let word = block.0[(place as usize >> 1) & 7];
    Some((word >> ((place & 1) * 32)) as u32)
}

/// 1 where `key <= wanted`, else 0, without a branch; both below 2⁶³.
#[inline(always)]
const fn at_or_below(key: u64, wanted_plus_one: u64) -> u64 {
    key.wrapping_sub(wanted_plus_one) >> 63
}

/// Place of the last of sixteen keys that is at or below `wanted`. The first always is, in an image that is whole.
#[inline(always)]
fn rank_32(block: &Block, wanted: u32) -> u32 {
    let wanted = incremented(u64::from(wanted));
    let mut rank = 0;
    for word in block.0 {
        rank += at_or_below(word & 0xffff_ffff, wanted);
        rank += at_or_below(word >> 32, wanted);
    }
    (rank as u32).wrapping_sub(1) & 15
}

/// As [`rank_32`], of eight keys.
#[inline(always)]
fn rank_64(block: &Block, wanted: u64) -> u32 {
    let below = !wanted;
    let mut above = 0;
    for key in block.0 {
        // The borrow of `wanted - key`.
        let difference = wanted.wrapping_sub(key);
        above += (below & key | (below | key) & difference) >> 63;
    }
    7u32.wrapping_sub(above as u32) & 7
}
