//! Lays the compact form of a short chain (see [`firewall_common::compact`]).

use std::ops::RangeInclusive;

use bytemuck::Zeroable;
use firewall_common::{
    compact::{CompactChain, CompactHead, MOST_ENTRIES, MOST_INTERVALS, ROOT_ENTRIES, Root},
    image::{Block, ChainDescriptor, ImageHeader, NO_BLOCK, UNTAGGED},
    wire::protocol,
};

use super::{CompileError, chain::Laid, pool::Pool, records};
use crate::policy::model::{Direction, Rule};

/// Bits that a root leaves of an address, and of a port.
const ADDRESS_BITS: u32 = 24;
const PORT_BITS: u32 = 8;

/// Lays the compact form of the chain of incoming IPv4 packets; [`NO_BLOCK`] where it has none: there are too many
/// entries or intervals, or its rows change with interfaces or time.
pub(super) fn lay(pool: &mut Pool, rules: &[Rule], laid: &Laid) -> Result<u32, CompileError> {
    let descriptor = &laid.descriptor;
    if descriptor.rules > MOST_ENTRIES || descriptor.interfaces != NO_BLOCK || descriptor.ends != NO_BLOCK {
        return Ok(NO_BLOCK);
    }
    let entries = entries(rules)?;
    let Some(chain) = chain(&entries) else {
        return Ok(NO_BLOCK);
    };
    let blocks: &[Block] = bytemuck::cast_slice(bytemuck::bytes_of(&*chain));
    pool.append(blocks)
}

/// Puts in what is known of the image once all of it is laid.
pub(super) fn complete(pool: &mut Pool, header: &ImageHeader, descriptor: &ChainDescriptor) {
    if descriptor.compact == NO_BLOCK {
        return;
    }
    let head: CompactHead = bytemuck::cast(*pool.get(descriptor.compact));
    let head = CompactHead {
        flags: header.flags,
        verdicts: header.verdicts,
        first_verdict: descriptor.first_verdict,
        default_verdict: descriptor.default_verdict,
        ..head
    };
    pool.set(descriptor.compact, bytemuck::cast(head));
}

/// Ranges of keys that one entry's condition is met by; `None` where it has none.
type Condition = Option<Vec<RangeInclusive<u32>>>;

/// An entry's conditions on an untagged packet.
struct Entry {
    source: Condition,
    destination: Condition,
    service: Condition,
    source_port: Condition,
    /// It matches tagged packets only.
    is_tagged: bool,
}

fn entries(rules: &[Rule]) -> Result<Vec<Entry>, CompileError> {
    let records = records::expand::<u32>(rules, Direction::In)?;
    let ports = |range: &RangeInclusive<u16>| u32::from(*range.start())..=u32::from(*range.end());
    let entry = |record: &records::Record<'_, u32>| Entry {
        source: record.source.map(<[_]>::to_vec),
        destination: record.destination.map(<[_]>::to_vec),
        service: record.services.as_ref().map(|services| {
            let keys = services.iter().map(|range| range.start().0..=range.end().0);
            keys.collect()
        }),
        source_port: record
            .source_port
            .map(|ranges| ranges.iter().map(ports).collect()),
        is_tagged: record
            .vlan
            .is_some_and(|ranges| !ranges.iter().any(|range| range.contains(&UNTAGGED))),
    };
    Ok(records.iter().map(entry).collect())
}

/// Consecutive intervals of a dimension: first keys, and the entries that match from there on.
struct Intervals {
    starts: Vec<u32>,
    rows: Vec<u128>,
}

impl Intervals {
    fn new(entries: &[Entry], pick: fn(&Entry) -> &Condition) -> Self {
        let mut edges = vec![0];
        for range in entries.iter().filter_map(|entry| pick(entry).as_ref()).flatten() {
            edges.push(*range.start());
            edges.extend(range.end().checked_add(1));
        }
        edges.sort_unstable();
        edges.dedup();
        let mut intervals = Self {
            starts: Vec::new(),
            rows: Vec::new(),
        };
        for start in edges {
            let row = row(entries, pick, start);
            if intervals.rows.last() != Some(&row) {
                intervals.starts.push(start);
                intervals.rows.push(row);
            }
        }
        intervals
    }

    /// Places of the first and the last interval that keys from `first` to `last` lie in.
    fn across(&self, first: u32, last: u32) -> (usize, usize) {
        let of = |key| self.starts.partition_point(|start| *start <= key) - 1;
        (of(first), of(last))
    }
}

/// A bit for each entry that a key meets the condition of.
fn row(entries: &[Entry], pick: fn(&Entry) -> &Condition, key: u32) -> u128 {
    let matches = |entry: &Entry| {
        let met = pick(entry)
            .as_ref()
            .is_none_or(|ranges| ranges.iter().any(|range| range.contains(&key)));
        met && !entry.is_tagged
    };
    (0..)
        .zip(entries)
        .fold(0, |row, (bit, entry)| row | u128::from(matches(entry)) << bit)
}

/// The lowest key of a protocol's services.
const fn service(protocol: u8) -> u32 {
    (protocol as u32) << 16
}

/// A dimension of the compact form.
struct Dimension<'a> {
    condition: fn(&Entry) -> &Condition,
    /// Its roots, and the lowest key of each.
    roots: &'a [(Root, u32)],
    /// Bits of a key below those that a root goes by.
    bits: u32,
}

/// `None` where there are too many intervals.
fn chain(entries: &[Entry]) -> Option<Box<CompactChain>> {
    let mut chain = Box::new(CompactChain::zeroed());
    let words = entries.len().div_ceil(64).max(1);
    chain.head = CompactHead {
        words: u32::try_from(words).ok()?,
        ..CompactHead::zeroed()
    };
    let mut used = 0;
    let dimensions = [
        Dimension {
            condition: |entry| &entry.source,
            roots: &[(Root::Source, 0)],
            bits: ADDRESS_BITS,
        },
        Dimension {
            condition: |entry| &entry.destination,
            roots: &[(Root::Destination, 0)],
            bits: ADDRESS_BITS,
        },
        Dimension {
            condition: |entry| &entry.service,
            roots: &[
                (Root::Tcp, service(protocol::TCP)),
                (Root::Udp, service(protocol::UDP)),
            ],
            bits: PORT_BITS,
        },
        Dimension {
            condition: |entry| &entry.source_port,
            roots: &[(Root::SourcePort, 0)],
            bits: PORT_BITS,
        },
    ];
    for dimension in dimensions {
        let intervals = Intervals::new(entries, dimension.condition);
        for (root, from) in dimension.roots {
            let root = &mut chain.roots[*root as usize];
            fill(root, &intervals, used, *from, dimension.bits)?;
        }
        for (start, row) in intervals.starts.iter().zip(&intervals.rows) {
            *chain.starts.get_mut(used)? = *start;
            chain.rows[used] = halves(*row);
            used += 1;
        }
    }
    Some(chain)
}

/// Fills a root whose keys begin at `from`, over intervals that lie from place `first` on.
fn fill(
    root: &mut [u32; ROOT_ENTRIES],
    intervals: &Intervals,
    first: usize,
    from: u32,
    bits: u32,
) -> Option<()> {
    for (bucket, entry) in (0u32..).zip(root) {
        let lowest = from + (bucket << bits);
        let (low, high) = intervals.across(lowest, lowest + ((1 << bits) - 1));
        if first + high >= MOST_INTERVALS {
            return None;
        }
        let count = u32::try_from(high - low + 1).ok()?;
        *entry = u32::try_from(first + low).ok()? | count << 16;
    }
    Some(())
}

#[expect(clippy::cast_possible_truncation, reason = "each half is what is wanted")]
const fn halves(row: u128) -> [u64; 2] {
    [row as u64, (row >> 64) as u64]
}
