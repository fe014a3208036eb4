//! Address sets outside the rules: a trie each, whose leaves are 1 for members.

use std::ops::RangeInclusive;

use firewall_common::image::{ImageHeader, NO_BLOCK};

use super::{
    CompileError,
    key::Key,
    partition::{self, Intervals},
    pool::Pool,
};
use crate::policy::model::{AddressSet, ValidPolicy};

/// Lays the failsafe's and the forwarded addresses.
pub(super) fn build(
    pool: &mut Pool,
    policy: &ValidPolicy,
    header: &mut ImageHeader,
) -> Result<(), CompileError> {
    let failsafe = &policy.failsafe;
    (header.management_v4, header.management_v6) =
        both(pool, &failsafe.management_sources, "management sources")?;
    (header.resolvers_v4, header.resolvers_v6) = both(pool, &failsafe.resolvers, "resolvers")?;
    (header.forwarded_v4, header.forwarded_v6) =
        both(pool, &policy.settings.forwarded.networks, "forwarded networks")?;
    Ok(())
}

fn both(pool: &mut Pool, set: &AddressSet, what: &'static str) -> Result<(u32, u32), CompileError> {
    Ok((lay(pool, &set.v4, what)?, lay(pool, &set.v6, what)?))
}

fn lay<K: Key>(
    pool: &mut Pool,
    ranges: &[RangeInclusive<K>],
    what: &'static str,
) -> Result<u32, CompileError> {
    if ranges.is_empty() {
        return Ok(NO_BLOCK);
    }
    partition::check_order(ranges, what, "the settings")?;
    let mut intervals = Intervals::new();
    if *ranges[0].start() != K::ZERO {
        intervals.push(K::ZERO, 0);
    }
    for (at, range) in ranges.iter().enumerate() {
        intervals.push(*range.start(), 1);
        let after = range.end().successor();
        let next = ranges.get(at + 1).map(|next| *next.start());
        if let Some(after) = after.filter(|&after| next != Some(after)) {
            intervals.push(after, 0);
        }
    }
    intervals.lay(pool)
}
