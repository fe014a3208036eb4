//! Per-CPU counters, read in batches and summed.

use std::{
    io,
    ops::AddAssign,
    os::fd::{AsFd, BorrowedFd},
};

use aya::{
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use bytemuck::{Pod, pod_read_unaligned};
use firewall_common::{
    abi::names,
    capture::{CaptureCounts, VIEWER_ENTRIES, Viewer},
    counters::{Counter, INTERFACE_ENTRIES, REASON_ENTRIES, RuleCounter},
};

use super::{
    maps::{Maps, map, open, typed},
    pins::Pins,
    sys::{self, ElementSizes},
};
use crate::dataplane::{CounterSnapshot, DataplaneError};

const BATCH: u32 = 1024;

/// A per-CPU value as words, all of which are sums.
trait Sums: Pod {}
impl Sums for Counter {}
impl Sums for RuleCounter {}
impl Sums for u64 {}
impl Sums for CaptureCounts {}

/// All counters; of rules the first `rules` numbers.
pub(super) fn snapshot(maps: &Maps, rules: u16) -> Result<CounterSnapshot, DataplaneError> {
    let rules = u32::from(rules).min(maps.sizes.rule_counters);
    Ok(CounterSnapshot {
        rules: read::<RuleCounter>(maps.rule_counters.fd().as_fd(), rules, names::RULE_COUNTERS)?,
        reasons: read::<Counter>(
            maps.reason_counters.fd().as_fd(),
            REASON_ENTRIES,
            names::REASON_COUNTERS,
        )?,
        interfaces: read::<Counter>(
            maps.interface_counters.fd().as_fd(),
            INTERFACE_ENTRIES,
            names::INTERFACE_COUNTERS,
        )?,
        lost_events: read::<u64>(maps.event_loss.fd().as_fd(), 1, names::EVENT_LOSS)?
            .first()
            .copied()
            .unwrap_or(0),
    })
}

/// What has become of the packets that a viewer wanted.
pub(super) fn captures(pins: &Pins, viewer: Viewer) -> Result<CaptureCounts, DataplaneError> {
    let map = open(pins, names::CAPTURE_COUNTS)?;
    let counts = read::<CaptureCounts>(map.fd().as_fd(), VIEWER_ENTRIES, names::CAPTURE_COUNTS)?;
    Ok(counts.get(viewer as usize).copied().unwrap_or_default())
}

/// Sets the counters of a rule to zero on every CPU.
pub(super) fn clear(pins: &Pins, number: u16) -> Result<(), DataplaneError> {
    type Words = [u64; size_of::<RuleCounter>() / size_of::<u64>()];
    let failed = |source: io::Error| DataplaneError::Counters {
        map: names::RULE_COUNTERS,
        source,
    };
    let cpus = nr_cpus().map_err(|(_, error)| failed(error))?;
    let zeroes = PerCpuValues::try_from(vec![Words::default(); cpus]).map_err(failed)?;
    let mut counters: PerCpuArray<MapData, Words> = typed(pins, names::RULE_COUNTERS)?;
    counters
        .set(number.into(), zeroes, 0)
        .map_err(map("clear", names::RULE_COUNTERS))
}

fn read<T: Sums>(map: BorrowedFd<'_>, count: u32, name: &'static str) -> Result<Vec<T>, DataplaneError> {
    let failed = |source: io::Error| DataplaneError::Counters { map: name, source };
    let cpus = nr_cpus().map_err(|(_, error)| failed(error))?;
    let sizes = ElementSizes {
        key: size_of::<u32>(),
        value: size_of::<T>() * cpus,
    };
    let mut sums = Vec::with_capacity(count as usize);
    let mut cursor = Vec::new();
    let mut left = count;
    while left > 0 {
        let wanted = BATCH.min(left);
        left -= wanted;
        let (_, values) = sys::lookup_batch(map, sizes, wanted, &mut cursor).map_err(failed)?;
        sums.extend(values.chunks_exact(sizes.value).map(sum::<T>));
        if cursor.is_empty() {
            break;
        }
    }
    Ok(sums)
}

/// Adds up the words of one value over all CPUs.
fn sum<T: Sums>(values: &[u8]) -> T {
    let mut total = vec![0u64; size_of::<T>() / size_of::<u64>()];
    for value in values.chunks_exact(size_of::<T>()) {
        for (sum, word) in total.iter_mut().zip(value.chunks_exact(size_of::<u64>())) {
            sum.add_assign(pod_read_unaligned::<u64>(word));
        }
    }
    pod_read_unaligned(bytemuck::cast_slice(&total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_added_up_over_cpus() {
        let of = |packets, bytes| Counter { packets, bytes };
        let values = [of(1, 100), of(0, 0), of(2, 3000)];
        assert_eq!(sum::<Counter>(bytemuck::cast_slice(&values)), of(3, 3100));
    }
}
