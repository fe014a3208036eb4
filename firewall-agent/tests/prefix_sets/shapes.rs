//! Sets of awkward shapes.

use firewall_agent::prefix_set::{HeapMemory, Members, Prefix, PrefixSets};
use firewall_common::address::Family;

use crate::model::{Model, Numbers, has, loaded};

fn assert_v4(ranges: &[(u32, u32)]) {
    let sets = loaded(200_000, ranges.to_vec(), Vec::new());
    let model = Model(
        ranges
            .iter()
            .map(|range| (range.0.into(), range.1.into()))
            .collect(),
    );
    let edges: Vec<u128> = model.edges().map(|edge| edge & 0xffff_ffff).collect();
    let mut numbers = Numbers(4);
    for edge in edges.iter().step_by(1 + edges.len() / 500) {
        for address in [
            *edge,
            u128::from(numbers.next() as u32),
            edge ^ u128::from(numbers.next() & 0xff),
        ] {
            assert_eq!(
                has(&sets, 0, Family::V4, address),
                model.contains(address),
                "{address:#x}"
            );
        }
    }
}

fn assert_v6(prefixes: &[Prefix]) {
    let sets = loaded(200_000, Vec::new(), prefixes.to_vec());
    let model = Model(
        prefixes
            .iter()
            .map(|prefix| (prefix.first(), prefix.last()))
            .collect(),
    );
    let edges: Vec<u128> = model.edges().collect();
    let mut numbers = Numbers(6);
    for edge in edges.iter().step_by(1 + edges.len() / 500) {
        for address in [*edge, numbers.wide(), edge ^ 1 << (numbers.next() % 128)] {
            assert_eq!(
                has(&sets, 0, Family::V6, address),
                model.contains(address),
                "{address:#x}"
            );
        }
    }
}

#[test]
fn an_empty_set_has_nobody() {
    assert_v4(&[]);
    assert_v6(&[]);
    let sets = PrefixSets::new(HeapMemory::new(0));
    assert!(!has(&sets, 3, Family::V4, 0xffff_ffff) && !has(&sets, 3, Family::V6, u128::MAX));
}

#[test]
fn whole_families() {
    assert_v4(&[(0, u32::MAX)]);
    assert_v6(&[Prefix::new(0, 0)]);
    assert_v6(&[Prefix::new(1 << 127, 1), Prefix::new(0x2000 << 112, 3)]);
}

#[test]
fn every_address_of_a_network() {
    let network = 0xc0a8_0000_u32;
    assert_v4(
        &(0..=0xffff)
            .map(|host| (network | host, network | host))
            .collect::<Vec<_>>(),
    );
    let sets = loaded(
        10,
        (0..=0xffff)
            .map(|host| (network | host, network | host))
            .collect(),
        Vec::new(),
    );
    assert_eq!(sets.used(), 0, "merged to the whole network");
}

#[test]
fn every_second_address() {
    let network = 0x0a01_0000_u32;
    let odd: Vec<(u32, u32)> = (0..20_000)
        .map(|host| (network + host * 2 + 1, network + host * 2 + 1))
        .collect();
    assert_v4(&odd);
    for count in [16, 31, 32, 33, 64, 511, 512, 513, 1023, 1024, 1025] {
        assert_v4(&odd[..count]);
        // Ranges of several addresses take another form than single ones.
        assert_v4(
            &odd[..count]
                .iter()
                .map(|(first, _)| (first * 8, first * 8 + 5))
                .collect::<Vec<_>>(),
        );
    }
    let low: Vec<Prefix> = (0..20_000)
        .map(|host| Prefix::new((0x2001_0db8 << 96) | (host * 2), 128))
        .collect();
    assert_v6(&low);
    let high: Vec<Prefix> = (0..20_000)
        .map(|site| Prefix::new(0x2001_0db8 << 96 | site << 65, 64))
        .collect();
    assert_v6(&high);
}

#[test]
fn edges_of_a_root_entry() {
    assert_v4(&[(0, 0), (0xffff, 0x1_0000), (0xfffe_ffff, u32::MAX)]);
    assert_v4(&[(0x0001_8000, 0x0004_7fff), (0x0005_0000, 0x0006_ffff)]);
    assert_v6(&[
        Prefix::new(0, 128),
        Prefix::new(u128::MAX, 128),
        Prefix::new(0x2002 << 112, 16),
        Prefix::new(0x2400 << 112, 12),
    ]);
}

/// Each prefix has a neighbour one bit longer: `10…`, `110…`, `1110…`.
#[test]
fn a_nest_of_every_length() {
    let base = 0x2001 << 112_u128;
    let nest: Vec<Prefix> = (18..=128)
        .map(|length| {
            Prefix::new(
                base | (u128::MAX >> 16 ^ u128::MAX >> (length - 1))
                    & (u128::MAX >> 16)
                    & !(1 << (128 - u32::from(length))),
                length,
            )
        })
        .collect();
    assert_v6(&nest);
    // Wide and narrow ones in turns, so that few leaves can be narrow.
    let turns: Vec<Prefix> = (0..5000_u128)
        .map(|site| Prefix::new(base | site << 65, if site % 2 == 0 { 64 } else { 127 }))
        .collect();
    assert_v6(&turns);
    // Groups of lower halves of each size beside single ones.
    let groups: Vec<Prefix> = (0..400_u128)
        .flat_map(|site| (0..=site % 40).map(move |host| Prefix::new(base | site << 64 | host << 3, 127)))
        .collect();
    assert_v6(&groups);
}

#[test]
fn random_prefixes_of_every_length() {
    let mut numbers = Numbers(1);
    let prefixes: Vec<Prefix> = (0..30_000)
        .map(|_| Prefix::new(numbers.wide(), (20 + numbers.next() % 109) as u8))
        .collect();
    assert_v6(Members::new(Vec::new(), prefixes).v6());
    let ranges: Vec<(u32, u32)> = (0..30_000)
        .map(|_| {
            let (address, bits) = (numbers.next() as u32, numbers.next() % 12);
            (address >> bits << bits, address | ((1 << bits) - 1))
        })
        .collect();
    assert_v4(Members::new(ranges, Vec::new()).v4());
}

#[test]
fn a_set_that_does_not_fit_leaves_none_behind() {
    let mut sets = PrefixSets::new(HeapMemory::new(100));
    let sparse = |count: u32| {
        Members::new(
            (0..count)
                .map(|network| (network << 16 | 5, network << 16 | 9))
                .collect(),
            Vec::new(),
        )
    };
    let full = sets.load(1, &sparse(101)).expect_err("a block each");
    assert_eq!(full.capacity, 100);
    assert_eq!((sets.used(), sets.is_empty(1)), (0, true));
    sets.load(1, &sparse(99)).expect("now there is room");
    sets.replace_v4(
        1,
        0,
        0x0003_ffff,
        &[(7, 17), (0x1_0000, 0x1_0023), (0x2_0009, 0x2_0019)],
    )
    .expect_err("two are left");
    assert_eq!(sets.members(1), sparse(99), "nothing has changed");
    assert_eq!(sets.used(), 99);
    sets.replace_v4(1, 7, 7, &[]).expect("one is enough for one");
}

#[test]
fn damage_is_noticed() {
    let mut sets = loaded(
        1000,
        (0..200)
            .map(|network| (network << 16 | 5, network << 16 | 9))
            .collect(),
        Vec::new(),
    );
    let copy: Vec<u64> = (0..200)
        .map(|index| firewall_agent::prefix_set::Memory::root(sets.memory(), index))
        .collect();
    assert_eq!(sets.adopt(), Vec::<u8>::new());
    for broken in [
        9,
        copy[7] | 0xffff << 32,
        copy[7] & !0xff | 7,
        copy[7] & !(0xffff << 16),
        copy[8] + (2 << 16),
    ] {
        firewall_agent::prefix_set::Memory::store_root(sets.memory(), 7, broken);
        assert_eq!(sets.adopt(), [0], "{broken:#x}");
        assert!(sets.is_empty(0));
        for (index, entry) in (0..).zip(&copy) {
            firewall_agent::prefix_set::Memory::store_root(sets.memory(), index, *entry);
        }
        assert_eq!(sets.adopt(), Vec::<u8>::new());
    }
}
