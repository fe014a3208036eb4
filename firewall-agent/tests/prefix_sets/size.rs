//! A million entries.

use firewall_agent::prefix_set::Prefix;

use crate::model::{Numbers, loaded};

const MILLION: usize = 1_000_000;
const MEBIBYTE: u32 = 1 << 20;

/// Memory of a set, root entries included.
fn mebibytes(v4: Vec<(u32, u32)>, v6: Vec<Prefix>) -> u32 {
    let sets = loaded(1 << 20, v4, v6);
    (sets.used() * 64 + firewall_common::prefix_set::SLOT_ROOTS * 8).div_ceil(MEBIBYTE)
}

#[test]
fn a_million_fits_its_bounds() {
    let mut numbers = Numbers(8);
    let addresses = (0..MILLION)
        .map(|_| numbers.next() as u32)
        .map(|address| (address, address));
    let addresses = mebibytes(addresses.collect(), Vec::new());
    let mixed = (0..MILLION).map(|_| {
        let (address, bits) = (numbers.next() as u32, numbers.next() % 9);
        (address >> bits << bits, address | ((1 << bits) - 1))
    });
    let mixed = mebibytes(mixed.collect(), Vec::new());
    let global = |numbers: &mut Numbers| 1 << 125 | numbers.wide() >> 3;
    let addresses_v6 = (0..MILLION).map(|_| Prefix::new(global(&mut numbers), 128));
    let addresses_v6 = mebibytes(Vec::new(), addresses_v6.collect());
    let mixed_v6 = (0..MILLION).map(|_| Prefix::new(global(&mut numbers), 32 + (numbers.next() % 33) as u8));
    let mixed_v6 = mebibytes(Vec::new(), mixed_v6.collect());
    let lengths_v6 =
        (0..MILLION).map(|_| Prefix::new(global(&mut numbers), 32 + (numbers.next() % 97) as u8));
    let lengths_v6 = mebibytes(Vec::new(), lengths_v6.collect());
    println!(
        "MiB: {addresses} IPv4 addresses, {mixed} prefixes; {addresses_v6} IPv6 addresses, {mixed_v6} prefixes to /64, {lengths_v6} to /128"
    );
    assert!(addresses <= 6 && mixed <= 16);
    assert!(addresses_v6 <= 40 && mixed_v6 <= 40 && lengths_v6 <= 40);
}
