//! What the look-up costs on the host: of packets for the last rule from random sources, and of packets that each meet
//! the addresses of some rule. How many blocks of the image each reads is printed beside.

use std::{cell::Cell, hint::black_box, ops::RangeInclusive};

use criterion::{Criterion, criterion_group, criterion_main};
use firewall_agent::{
    compile::compile,
    policy::model::{AddressSet, Rule},
};
use firewall_common::{
    address::{Address, Family},
    classify::{MatchKey, classify, header},
    compact::CompactChain,
    image::{Block, Chain, UNTAGGED},
    tables::{Image, SliceImage},
    wire::protocol,
};
use firewall_tests::{
    random::Random,
    rule_sets::{LAST_PORT, Shape, address, policy, rules_before_last},
};

const SEED: u64 = 1;
const PACKETS: usize = 4096;
/// Numbers of rules; a build that is not optimised is not made to measure.
const SIZES: &[usize] = if cfg!(debug_assertions) {
    &[10, 1000]
} else {
    &[10, 100, 1000, 10_000, 50_000]
};

/// Counts the blocks that are read.
struct Counting<'a> {
    image: SliceImage<'a>,
    read: Cell<usize>,
}

impl Image for Counting<'_> {
    fn block(&self, index: u32) -> Option<&Block> {
        self.read.set(self.read.get() + 1);
        self.image.block(index)
    }

    fn compact(&self, slot: u8) -> Option<&CompactChain> {
        self.image.compact(slot)
    }
}

fn key(family: Family, source: u128, destination: u128, port: u16) -> MatchKey {
    MatchKey {
        family,
        source: Address::from_ip(address(family, source)).1,
        destination: Address::from_ip(address(family, destination)).1,
        protocol: protocol::TCP,
        source_port: 40_000,
        destination_port: port,
        vlan: UNTAGGED,
        interface_slot: 0,
    }
}

/// A packet that no rule but the last matches.
fn for_last(random: &mut Random, family: Family) -> MatchKey {
    let net = match family {
        Family::V4 => 11 << 24,
        Family::V6 => 0xfd << 120,
    };
    let bits = if family == Family::V4 { 24 } else { 64 };
    key(family, net | random.wide() >> (128 - bits), net | 2, LAST_PORT)
}

fn near(random: &mut Random, set: Option<&AddressSet>, family: Family) -> u128 {
    let all: RangeInclusive<u128> = match (family, set) {
        (Family::V4, Some(set)) => (*set.v4[0].start()).into()..=(*set.v4[0].end()).into(),
        (Family::V6, Some(set)) => set.v6[0].clone(),
        (Family::V4, None) => 0..=u32::MAX.into(),
        (Family::V6, None) => 0..=u128::MAX,
    };
    random.between(&all)
}

/// A packet that the addresses of some rule match.
fn for_some(random: &mut Random, family: Family, rules: &[Rule]) -> MatchKey {
    let matches = &random.pick(rules).matches;
    let source = near(random, matches.source.as_ref(), family);
    let destination = near(random, matches.destination.as_ref(), family);
    let port = u16::try_from(random.below(4100)).expect("16 bits");
    key(family, source, destination, port)
}

fn look_ups(criterion: &mut Criterion) {
    for family in [Family::V4, Family::V6] {
        for shape in Shape::LIKE_CLASSBENCH {
            for &count in SIZES {
                let policy = policy(rules_before_last(shape, family, count, SEED));
                let image = compile(&policy).expect("it fits");
                let mut random = Random::new(SEED);
                let last: Vec<_> = (0..PACKETS).map(|_| for_last(&mut random, family)).collect();
                let some: Vec<_> = (0..PACKETS)
                    .map(|_| for_some(&mut random, family, &policy.rules))
                    .collect();
                let name = format!("{shape}, {family:?}, {count} rules");
                look_up(criterion, &format!("{name}, last"), image.blocks(), &last);
                look_up(criterion, &format!("{name}, any"), image.blocks(), &some);
            }
        }
    }
}

fn look_up(criterion: &mut Criterion, name: &str, blocks: &[Block], keys: &[MatchKey]) {
    let chain = |key: &MatchKey| match key.family {
        Family::V4 => Chain::InputV4,
        Family::V6 => Chain::InputV6,
    };
    let counting = Counting {
        image: SliceImage(blocks),
        read: Cell::new(0),
    };
    let view = header(&counting).expect("a header");
    for key in keys {
        classify(&counting, &view, chain(key), key, 0).expect("the image is whole");
    }
    let image = SliceImage(blocks);
    let view = header(&image).expect("a header");
    let mut next = keys.iter().cycle();
    criterion.bench_function(
        &format!("{name}, {} blocks", counting.read.get() / keys.len()),
        |bencher| {
            bencher.iter(|| {
                let key = black_box(next.next().expect("a cycle"));
                classify(&image, &view, chain(key), key, 0)
            });
        },
    );
}

fn quickly() -> Criterion {
    Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1))
        .without_plots()
}

criterion_group! {
    name = benches;
    config = quickly();
    targets = look_ups
}
criterion_main!(benches);
