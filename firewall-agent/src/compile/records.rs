//! Rules as conjunctions: one entry for each protocol of a rule, in a chain of one direction and one family.

use std::ops::RangeInclusive;

use firewall_common::{counters::DEFAULT_COUNTERS, image::UNTAGGED, verdict::NO_RULE, wire::protocol};

use super::{CompileError, key::Key, partition};
use crate::policy::model::{AddressSet, Direction, ProtocolMatch, Rule};

/// The highest VLAN identifier (IEEE 802.1Q 9.6).
const LAST_VLAN: u16 = 0x0fff;
const _: () = assert!(UNTAGGED > LAST_VLAN);

/// Addresses of one family.
pub(super) trait Addresses: Key + 'static {
    /// The ICMP of this family.
    const ICMP: u8;
    /// This family's part of a set.
    fn of(set: &AddressSet) -> &[RangeInclusive<Self>];
    /// The ranges of a condition on the messages of this family's ICMP.
    fn messages(condition: &ProtocolMatch) -> Option<&[RangeInclusive<u16>]>;
    /// Whether the ranges are the whole family.
    fn is_everything(ranges: &[RangeInclusive<Self>]) -> bool {
        matches!(ranges, [all] if *all.start() == Self::ZERO && all.end().successor().is_none())
    }
}

impl Addresses for u32 {
    const ICMP: u8 = protocol::ICMP;

    fn of(set: &AddressSet) -> &[RangeInclusive<Self>] {
        &set.v4
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

    fn of(set: &AddressSet) -> &[RangeInclusive<Self>] {
        &set.v6
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
    pub(super) protocol: Option<RangeInclusive<u16>>,
    pub(super) source_port: Option<&'a [RangeInclusive<u16>]>,
    pub(super) destination_port: Option<&'a [RangeInclusive<u16>]>,
    pub(super) vlan: Option<&'a [RangeInclusive<u16>]>,
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
    for condition in &matches.protocols {
        let Some((protocol, source_port, destination_port)) = protocol_conditions::<A>(condition) else {
            continue;
        };
        records.push(Record {
            rule,
            ordinal,
            source,
            destination,
            protocol: protocol.map(|number| number.into()..=number.into()),
            source_port,
            destination_port,
            vlan,
        });
    }
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
