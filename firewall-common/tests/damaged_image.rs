//! An image of which nothing is true is refused or misread, but never followed outside of itself.

#![expect(
    clippy::cast_possible_truncation,
    reason = "garbage is cut to the width of the field that it fills"
)]

use firewall_common::{
    address::{Address, Family},
    classify::{MatchKey, classify, header},
    compact::{COMPACT_BLOCKS, CompactChain, CompactKey},
    image::{Block, Chain},
    tables::SliceImage,
};

/// Blocks of small and of wild numbers: small ones point into the image and keep a look-up going.
fn garbage(random: &mut u64, blocks: usize) -> Vec<Block> {
    let mut next = || {
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        match *random >> 62 {
            0 => *random,
            1 => 0,
            _ => *random >> 40 & 0x1f | (*random >> 50 & 0x1f) << 32,
        }
    };
    (0..blocks).map(|_| Block([(); 8].map(|()| next()))).collect()
}

#[test]
fn garbage_is_not_followed() {
    let (mut decided, mut refused) = (0, 0);
    let mut random = 1;
    for size in (2..40).cycle().take(20_000) {
        let blocks = garbage(&mut random, size);
        let image = SliceImage(&blocks);
        let view = header(&image).expect("two blocks are enough for a header");
        for (family, chain) in [(Family::V4, Chain::InputV4), (Family::V6, Chain::ForwardV6)] {
            let address = Address {
                high: random,
                low: random & 0xffff_ffff,
            };
            let key = MatchKey {
                family,
                source: address,
                destination: address,
                protocol: 6,
                source_port: 1000,
                destination_port: 443,
                vlan: 10,
                interface_slot: 63,
            };
            match classify(&image, &view, chain, &key, u32::from(key.source_port)) {
                Some(_) => decided += 1,
                None => refused += 1,
            }
        }
    }
    assert!(
        decided > 20 && refused > 1000,
        "{decided} decided, {refused} refused"
    );
}

#[test]
fn a_compact_chain_of_garbage_is_not_followed() {
    let mut random = 1;
    for _ in 0..200 {
        let blocks = garbage(&mut random, COMPACT_BLOCKS as usize);
        let chain = CompactChain::of_blocks(&blocks).expect("as many blocks as it takes");
        for key in [0, 1 << 31, u32::MAX, random as u32] {
            let found = chain.verdict(&CompactKey {
                source: key,
                destination: !key,
                protocol: key as u8,
                source_port: key as u16,
                destination_port: (key >> 16) as u16,
            });
            assert!(found.is_some(), "every index is masked");
        }
        assert!(CompactChain::of_blocks(&blocks[1..]).is_none());
    }
}

#[test]
fn an_image_without_a_header_is_none() {
    assert!(header(&SliceImage(&[])).is_none());
    assert!(header(&SliceImage(&[Block([0; 8])])).is_none());
}
