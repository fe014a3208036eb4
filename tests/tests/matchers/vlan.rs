//! The VLAN: the outermost tag in the frame. Tags that an interface puts in or takes off are no part of what
//! `BPF_PROG_TEST_RUN` can be given; the suite `netns` has those.

use crate::{
    matcher::Matcher,
    probe::{Probe, both_families},
};

fn tagged(tags: &[&[u16]]) -> Vec<Probe> {
    let each = tags.iter();
    each.flat_map(|tags| both_families(|remote| Probe::with(remote).tagged(tags)))
        .collect()
}

#[test]
fn s58_one_vlan() {
    Matcher {
        rule: "VERDICT = \"tcp/443\"\nvlan = 10\nWHO = \"any\"",
        hits: tagged(&[&[10], &[10, 20]]),
        misses: tagged(&[&[], &[9], &[11], &[20, 10], &[0]]),
    }
    .check();
}

#[test]
fn s58_sets_and_ranges_of_vlans() {
    Matcher {
        rule: "VERDICT = \"tcp/443\"\nvlan = [10, \"20-29\", 4094]\nWHO = \"any\"",
        hits: tagged(&[&[10], &[20], &[29], &[4094]]),
        misses: tagged(&[&[], &[9], &[11], &[19], &[30], &[4093]]),
    }
    .check();
}

#[test]
fn s58_a_rule_without_vlans_is_for_all() {
    let other_port =
        |tags: &'static [u16]| both_families(|remote| Probe::with(remote).destination(80).tagged(tags));
    Matcher {
        rule: "VERDICT = \"tcp/443\"\nWHO = \"any\"",
        hits: tagged(&[&[], &[0], &[10], &[10, 20], &[4094]]),
        misses: [other_port(&[10]), other_port(&[10, 20])].concat(),
    }
    .check();
}
