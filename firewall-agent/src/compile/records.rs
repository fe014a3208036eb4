//! Rules as conjunctions, in a chain of one direction and one family: one entry for each rule, and more for one whose
//! protocols differ in their source ports.

use std::{collections::HashMap, ops::RangeInclusive};

use firewall_common::{counters::DEFAULT_COUNTERS, image::UNTAGGED, verdict::NO_RULE, wire::protocol};

use super::{
    CompileError,
    key::{Key, Service},
    partition,
};
use crate::policy::model::{AddressSet, Direction, ProtocolMatch, Rule};

/// The highest VLAN identifier (IEEE 802.1Q 9.6).
const LAST_VLAN: u16 = 0x0fff;
const _: () = assert!(UNTAGGED > LAST_VLAN);

/// Addresses of one family.
pub(super) trait Addresses: Key + 'static {
    /// The ICMP of this family.
    const ICMP: u8;
    /// Sets that span more bits are broad.
    const NARROW_BITS: u32;
    /// This family's part of a set.
    fn of(set: &AddressSet) -> &[RangeInclusive<Self>];
    /// The ranges of a condition on the messages of this family's ICMP.
    fn messages(condition: &ProtocolMatch) -> Option<&[RangeInclusive<u16>]>;
    /// The 64 bits that tell networks apart, and how many bits the way from one address to another has.
    fn measure(from: Self, to: Self) -> (u64, u32);
    /// Whether the ranges are the whole family.
    fn is_everything(ranges: &[RangeInclusive<Self>]) -> bool {
        matches!(ranges, [all] if *all.start() == Self::ZERO && all.end().successor().is_none())
    }
}

impl Addresses for u32 {
    const ICMP: u8 = protocol::ICMP;
    const NARROW_BITS: u32 = 20;

    fn of(set: &AddressSet) -> &[RangeInclusive<Self>] {
        &set.v4
    }

    fn measure(from: Self, to: Self) -> (u64, u32) {
        (from.into(), Self::BITS - (to - from).leading_zeros())
    }

    fn messages(condition: &ProtocolMatch) -> Option<&[RangeInclusive<u16>]> {
        match condition {
            ProtocolMatch::Icmp4(messages) => Some(messages),
            _ => None,
        }
    }
}

impl Addresses for u128 {
    const ICMP: u8 = protocol::ICMPV6;
    const NARROW_BITS: u32 = 96;

    fn of(set: &AddressSet) -> &[RangeInclusive<Self>] {
        &set.v6
    }

    fn measure(from: Self, to: Self) -> (u64, u32) {
        let upper = u64::try_from(from >> 64).expect("64 bits");
        (upper, Self::BITS - (to - from).leading_zeros())
    }

    fn messages(condition: &ProtocolMatch) -> Option<&[RangeInclusive<u16>]> {
        match condition {
            ProtocolMatch::Icmp6(messages) => Some(messages),
            _ => None,
        }
    }
}

/// One conjunction of conditions; `None` is "does not matter".
#[derive(Debug)]
pub(super) struct Record<'a, A> {
    pub(super) rule: &'a Rule,
    pub(super) ordinal: u16,
    pub(super) source: Option<&'a [RangeInclusive<A>]>,
    pub(super) destination: Option<&'a [RangeInclusive<A>]>,
    /// May overlap.
    pub(super) services: Option<Vec<RangeInclusive<Service>>>,
    pub(super) source_port: Option<&'a [RangeInclusive<u16>]>,
    pub(super) vlan: Option<&'a [RangeInclusive<u16>]>,
}

/// What a condition reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reach {
    /// Low where it is met seldom.
    pub(super) breadth: Breadth,
    /// From where on.
    pub(super) start: u64,
}

/// How much of a dimension a condition covers, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Breadth {
    Narrow,
    Broad,
    All,
}

impl Reach {
    const ALL: Self = Self {
        breadth: Breadth::All,
        start: 0,
    };

    fn new(narrow: bool, start: u64) -> Self {
        let breadth = if narrow { Breadth::Narrow } else { Breadth::Broad };
        Self { breadth, start }
    }
}

/// Ports of a condition that is narrow.
const NARROW_PORTS: u32 = 256;

impl<A: Addresses> Record<'_, A> {
    /// What its conditions reach, by dimension.
    pub(super) fn reach(&self) -> [Reach; 5] {
        let addresses = |ranges: Option<&[RangeInclusive<A>]>| {
            let (first, last) = ends(ranges?)?;
            let (start, bits) = A::measure(first, last);
            Some(Reach::new(bits <= A::NARROW_BITS, start))
        };
        let numbers = |ranges: Option<&[RangeInclusive<u16>]>| {
            let (first, last) = ends(ranges?)?;
            Some(Reach::new(u32::from(last - first) < NARROW_PORTS, first.into()))
        };
        let services = self.services.as_deref().and_then(|ranges| {
            let (first, last) = ends(ranges)?;
            Some(Reach::new(last.0 - first.0 < NARROW_PORTS, first.0.into()))
        });
        [
            addresses(self.source),
            addresses(self.destination),
            services,
            numbers(self.source_port),
            numbers(self.vlan),
        ]
        .map(|reach| reach.unwrap_or(Reach::ALL))
    }
}

fn ends<K: Key>(ranges: &[RangeInclusive<K>]) -> Option<(K, K)> {
    Some((*ranges.first()?.start(), *ranges.last()?.end()))
}

/// The entries of all rules of one direction, for one family. A condition that nothing fulfils yields no entry.
pub(super) fn expand<A: Addresses>(
    rules: &[Rule],
    direction: Direction,
) -> Result<Vec<Record<'_, A>>, CompileError> {
    let mut records = Vec::new();
    for (ordinal, rule) in (DEFAULT_COUNTERS..NO_RULE).zip(rules) {
        if rule.direction == direction {
            check(rule)?;
            expand_rule(ordinal, rule, &mut records);
        }
    }
    Ok(records)
}

fn expand_rule<'a, A: Addresses>(ordinal: u16, rule: &'a Rule, records: &mut Vec<Record<'a, A>>) {
    let matches = &rule.matches;
    let (Some(source), Some(destination), Some(vlan)) = (
        addresses(matches.source.as_ref()),
        addresses(matches.destination.as_ref()),
        fulfillable(matches.vlans.as_deref()),
    ) else {
        return;
    };
    for (services, source_port) in services::<A>(&matches.protocols) {
        records.push(Record {
            rule,
            ordinal,
            source,
            destination,
            services,
            source_port,
            vlan,
        });
    }
}

type Services<'a> = (Option<Vec<RangeInclusive<Service>>>, Ports<'a>);

/// The services that any of the conditions is met by, for each condition on the source port.
fn services<A: Addresses>(conditions: &[ProtocolMatch]) -> Vec<Services<'_>> {
    let mut found: Vec<Services<'_>> = Vec::new();
    let mut known = HashMap::new();
    for condition in conditions {
        let Some((protocol, source_port, ports)) = protocol_conditions::<A>(condition) else {
            continue;
        };
        let added = protocol.map(|protocol| service_ranges(protocol, ports));
        let place = *known.entry(source_port).or_insert(found.len());
        match (found.get_mut(place), added) {
            (None, added) => found.push((added, source_port)),
            (Some((Some(services), _)), Some(added)) => services.extend(added),
            // Everything is met already, or is from now on.
            (Some((services, _)), _) => *services = None,
        }
    }
    for services in found.iter_mut().filter_map(|(services, _)| services.as_mut()) {
        join(services);
    }
    found
}

fn service_ranges(protocol: u8, ports: Ports<'_>) -> Vec<RangeInclusive<Service>> {
    let all = [0..=u16::MAX];
    ports
        .unwrap_or(&all)
        .iter()
        .map(|range| Service::new(protocol, *range.start())..=Service::new(protocol, *range.end()))
        .collect()
}

/// Sorts ranges, and joins those that overlap.
fn join(ranges: &mut Vec<RangeInclusive<Service>>) {
    ranges.sort_unstable_by_key(|range| *range.start());
    ranges.dedup_by(|next, range| {
        let overlap = next.start() <= range.end();
        if overlap {
            *range = *range.start()..=*range.end().max(next.end());
        }
        overlap
    });
}

type Ports<'a> = Option<&'a [RangeInclusive<u16>]>;

/// Protocol number and the conditions on the ports; `None` where no packet of the family can match.
fn protocol_conditions<A: Addresses>(
    condition: &ProtocolMatch,
) -> Option<(Option<u8>, Ports<'_>, Ports<'_>)> {
    match condition {
        ProtocolMatch::Any => Some((None, None, None)),
        ProtocolMatch::Number(number) => Some((Some(*number), None, None)),
        ProtocolMatch::Ports {
            protocol,
            source,
            destination,
        } => Some((Some(*protocol), ports(source)?, ports(destination)?)),
        ProtocolMatch::Icmp4(_) | ProtocolMatch::Icmp6(_) => {
            Some((Some(A::ICMP), None, ports(A::messages(condition)?)?))
        }
    }
}

/// `None` where nothing fulfils the condition, `Some(None)` where everything does.
#[expect(
    clippy::option_option,
    reason = "outer: can be fulfilled; inner: there is a condition"
)]
fn ports(ranges: &[RangeInclusive<u16>]) -> Option<Option<&[RangeInclusive<u16>]>> {
    match ranges {
        [] => None,
        [all] if *all == (0..=u16::MAX) => Some(None),
        some => Some(Some(some)),
    }
}

#[expect(
    clippy::option_option,
    reason = "outer: can be fulfilled; inner: there is a condition"
)]
fn addresses<A: Addresses>(set: Option<&AddressSet>) -> Option<Option<&[RangeInclusive<A>]>> {
    let Some(set) = set else {
        return Some(None);
    };
    match A::of(set) {
        [] => None,
        all if A::is_everything(all) => Some(None),
        some => Some(Some(some)),
    }
}

#[expect(
    clippy::option_option,
    reason = "outer: can be fulfilled; inner: there is a condition"
)]
fn fulfillable<T>(ranges: Option<&[T]>) -> Option<Option<&[T]>> {
    match ranges {
        Some([]) => None,
        other => Some(other),
    }
}

/// Checks what the types of the model promise and the trees rely on.
fn check(rule: &Rule) -> Result<(), CompileError> {
    let name = &*rule.name;
    for set in [&rule.matches.source, &rule.matches.destination]
        .into_iter()
        .flatten()
    {
        partition::check_order(&set.v4, "addresses", name)?;
        partition::check_order(&set.v6, "addresses", name)?;
    }
    for condition in &rule.matches.protocols {
        match condition {
            ProtocolMatch::Ports {
                source, destination, ..
            } => {
                partition::check_order(source, "source ports", name)?;
                partition::check_order(destination, "destination ports", name)?;
            }
            ProtocolMatch::Icmp4(messages) | ProtocolMatch::Icmp6(messages) => {
                partition::check_order(messages, "ICMP messages", name)?;
            }
            ProtocolMatch::Any | ProtocolMatch::Number(_) => {}
        }
    }
    let vlans = rule.matches.vlans.as_deref().unwrap_or_default();
    partition::check_order(vlans, "VLANs", name)?;
    match vlans.last() {
        Some(last) if *last.end() > LAST_VLAN => Err(CompileError::Vlan {
            rule: rule.name.clone(),
            vlan: *last.end(),
        }),
        _ => Ok(()),
    }
}
