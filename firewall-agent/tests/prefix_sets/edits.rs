//! Changes between look-ups.

use firewall_agent::prefix_set::{HeapMemory, Members, Prefix, PrefixSets};
use firewall_common::address::Family;
use proptest::prelude::*;

use crate::model::{Model, has};

const BLOCKS: u32 = 40_000;

/// One change: everything below a prefix is replaced by some of its parts.
#[derive(Debug, Clone)]
struct Edit {
    place: Prefix,
    inside: Vec<Prefix>,
}

/// Addresses that often share their upper bits.
fn crowded() -> impl Strategy<Value = u128> {
    let part = prop_oneof![4 => 0..4_u16, 2 => 0..200_u16, 1 => any::<u16>(), 1 => Just(u16::MAX)];
    proptest::collection::vec(part, 8).prop_map(|parts| {
        let near = [0x2001, 0x2a00, 0x2a01];
        let upper = near[usize::from(parts[0]) % near.len()];
        parts[1..]
            .iter()
            .fold(upper, |address: u128, part| address << 16 | u128::from(*part))
    })
}

fn edit(least: u8, width: u8) -> impl Strategy<Value = Edit> {
    let length = prop_oneof![
        6 => Just(width),
        3 => (width / 2)..=width,
        2 => Just(width / 2),
        3 => least..=width,
    ];
    (
        crowded(),
        length,
        proptest::collection::vec((any::<u128>(), 0..=16_u8), 0..6),
    )
        .prop_map(move |(address, length, parts)| {
            let address = address >> (128 - u32::from(width)) << (128 - u32::from(width));
            let place = Prefix::new(address, length);
            let inside = parts.into_iter().map(|(bits, deeper)| {
                let part = place.first() | bits & (place.last() - place.first());
                Prefix::new(part, length.saturating_add(deeper).min(width))
            });
            Edit {
                place,
                inside: Members::new(Vec::new(), inside.collect()).v6().to_vec(),
            }
        })
}

/// The range of a prefix whose upper 32 bits are an IPv4 one.
fn range_v4(prefix: &Prefix) -> (u32, u32) {
    ((prefix.first() >> 96) as u32, (prefix.last() >> 96) as u32)
}

fn wide(range: (u32, u32)) -> (u128, u128) {
    (range.0.into(), range.1.into())
}

fn assert_same(sets: &PrefixSets<HeapMemory>, family: Family, model: &Model, probes: &[u128]) {
    let mask = match family {
        Family::V4 => u128::from(u32::MAX),
        Family::V6 => u128::MAX,
    };
    for probe in model.edges().chain(probes.iter().copied()) {
        let probe = probe & mask;
        assert_eq!(
            has(sets, 0, family, probe),
            model.contains(probe),
            "{:?}",
            firewall_common::address::Address::to_ip(crate::model::address(probe), family)
        );
    }
}

/// Whoever counts anew finds as many blocks in use as were counted along the way.
fn assert_none_lost(sets: &mut PrefixSets<HeapMemory>) {
    let used = sets.used();
    assert_eq!(sets.adopt(), Vec::<u8>::new(), "nothing is damaged");
    assert_eq!(sets.used(), used, "blocks were lost, or given away twice");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn edits_of_ipv4_are_seen(edits in proptest::collection::vec(edit(8, 32), 1..80)) {
        let mut sets = PrefixSets::new(HeapMemory::new(BLOCKS));
        let mut model = Model::default();
        for edit in &edits {
            let (first, last) = range_v4(&edit.place);
            let inside = Members::new(edit.inside.iter().map(range_v4).collect(), Vec::new());
            sets.replace_v4(0, first, last, inside.v4()).expect("there is room");
            let inside: Vec<(u128, u128)> = inside.v4().iter().copied().map(wide).collect();
            model.replace(first.into(), last.into(), &inside);
            let probes: Vec<u128> = edits.iter().map(|edit| edit.place.first() >> 96).collect();
            assert_same(&sets, Family::V4, &model, &probes);
        }
        assert_none_lost(&mut sets);
    }

    #[test]
    fn edits_of_ipv6_are_seen(edits in proptest::collection::vec(edit(12, 128), 1..200)) {
        let mut sets = PrefixSets::new(HeapMemory::new(BLOCKS));
        let mut model = Model::default();
        let probes: Vec<u128> = edits.iter().map(|edit| edit.place.first()).collect();
        for (number, edit) in edits.iter().enumerate() {
            sets.replace_v6(0, edit.place, &edit.inside).expect("there is room");
            let inside: Vec<(u128, u128)> =
                edit.inside.iter().map(|prefix| (prefix.first(), prefix.last())).collect();
            model.replace(edit.place.first(), edit.place.last(), &inside);
            if number % 8 == 0 {
                assert_same(&sets, Family::V6, &model, &probes);
            }
        }
        assert_same(&sets, Family::V6, &model, &probes);
        assert_none_lost(&mut sets);
    }

    #[test]
    fn a_policy_that_shares_a_list_keeps_it(edits in proptest::collection::vec(edit(12, 128), 1..40)) {
        let members = Members::new(
            edits.iter().map(|edit| range_v4(&edit.place)).collect(),
            edits.iter().map(|edit| edit.place).collect(),
        );
        let mut sets = PrefixSets::new(HeapMemory::new(BLOCKS));
        sets.load(0, &members).expect("there is room");
        let alone = sets.used();
        sets.load(3, &members).expect("there is room");
        prop_assert_eq!(sets.used(), alone, "the same blocks");
        for edit in &edits {
            sets.replace_v6(0, edit.place, &edit.inside).expect("there is room");
            let (first, last) = range_v4(&edit.place);
            sets.replace_v4(0, first, last, &[]).expect("there is room");
        }
        sets.settle();
        prop_assert_eq!(sets.members(3), members.clone());
        assert_none_lost(&mut sets);
        sets.load(0, &members).expect("there is room");
        prop_assert_eq!(sets.used(), alone, "shared again");
        sets.load(0, &Members::default()).expect("there is room");
        sets.load(3, &Members::default()).expect("there is room");
        prop_assert_eq!(sets.used(), 0);
    }
}
