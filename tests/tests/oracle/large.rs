//! Large rule sets, like real ones and of shapes that are hard on look-ups.

use std::thread;

use firewall_common::address::Family;
use firewall_tests::{
    random::{Random, seed},
    rule_sets::{Shape, policy, rules},
};

use super::{
    PACKETS,
    compare::{Subject, Tally},
    packets,
};

/// Entries of a chain: just too many for one block, the size of a large policy, and, for some shapes, more than one
/// block of summaries covers.
const SIZES: [usize; 3] = [513, 3000, 10_000];
const LARGEST: usize = 33_000;
/// What one set may cost, unless more packets are wanted: packets times rules.
const WORK: usize = 10_000_000;

/// Judges packets by one set and its image.
fn compare(shape: Shape, family: Family, size: usize, seed: u64) -> Tally {
    let subject = Subject::new(policy(rules(shape, family, size, seed)));
    let mut random = Random::new(seed ^ 1);
    let mut tally = Tally::default();
    for _ in 0..WORK / size * packets().div_ceil(PACKETS) {
        match subject.look_up(&mut random) {
            Ok(one) => tally.add(one),
            Err(mismatch) => panic!("seed {seed}, {family:?} {shape}, {size} rules: {mismatch}"),
        }
    }
    tally
}

#[test]
fn s70_large_sets_equal_the_naive_evaluator() {
    let seed = seed();
    let families = [Family::V4, Family::V6];
    let workers = families.map(|family| {
        thread::spawn(move || {
            let mut tally = Tally::default();
            for shape in Shape::ALL {
                for size in SIZES {
                    tally.add(compare(shape, family, size, seed));
                }
            }
            tally.add(compare(Shape::Acl, family, LARGEST, seed));
            tally
        })
    });
    let mut tally = Tally::default();
    for worker in workers {
        tally.add(worker.join().expect("the comparison holds"));
    }
    println!("{tally:?}");
    assert!(tally.by_later_rule * 4 > tally.packets, "{tally:?}");
    assert!(tally.by_default * 50 > tally.packets, "{tally:?}");
}

#[test]
fn entries_in_the_wrong_order_are_found() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut subject = Subject::new(policy(rules(Shape::AlternatingPorts, Family::V4, 600, seed)));
    let differ =
        |subject: &Subject, random: &mut Random| (0..20_000).any(|_| subject.look_up(random).is_err());
    assert!(!differ(&subject, &mut random), "seed {seed}");
    subject.disorder();
    assert!(differ(&subject, &mut random), "seed {seed}");
}
