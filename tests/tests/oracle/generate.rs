//! Random policies with the shapes that break look-ups: prefixes inside prefixes, ranges that touch, single values,
//! whole spaces, both ends of a space.

use std::ops::RangeInclusive;

use firewall_agent::policy::model::{
    Action, AddressSet, Defaults, Direction, LogRate, Matches, Origin, ProtocolMatch, Ranges, Rule, Term,
    ValidPolicy,
};
use firewall_tests::{random::Random, rule_sets};
use jiff::Timestamp;

/// Globs that rules use; some match several of the interfaces in [`super::compare::INTERFACES`], some none.
const GLOBS: [&str; 8] = ["eth0", "eth*", "eth?", "br-?an", "*", "wg?", "e*1", "lo"];
/// Protocols with ports.
const TRANSPORTS: [u8; 4] = [6, 17, 132, 136];
/// Protocols without.
pub(crate) const OTHERS: [u8; 5] = [2, 47, 50, 89, 112];

/// Values that the conditions of one policy are made of, so that they overlap and touch.
#[derive(Debug)]
pub(crate) struct Anchors {
    pub(crate) v4: Vec<u32>,
    pub(crate) v6: Vec<u128>,
    pub(crate) ports: Vec<u16>,
    pub(crate) vlans: Vec<u16>,
}

fn low16(random: &mut Random) -> u16 {
    (random.bits() & 0xffff) as u16
}

fn low32(random: &mut Random) -> u32 {
    (random.bits() & 0xffff_ffff) as u32
}

impl Anchors {
    pub(crate) fn new(random: &mut Random) -> Self {
        let several = 2 + random.below(12);
        let mut anchors = Self {
            v4: vec![0, u32::MAX, 0x0a00_0000],
            v6: vec![0, u128::MAX, 0xfd << 120],
            ports: vec![0, 1, 22, 443, 1023, 1024, u16::MAX - 1, u16::MAX],
            vlans: vec![0, 1, 10, 4094],
        };
        for _ in 0..several {
            anchors.v4.push(low32(random));
            let high = u128::from(random.bits() & 0xf) << 64 | 0xfd << 120;
            anchors.v6.push(high | random.wide() >> random.below(127));
            anchors.ports.push(low16(random));
            anchors.vlans.push(low16(random) & 0xfff);
        }
        anchors
    }
}

/// Sorts ranges and joins those that overlap or touch, as the model wants them.
fn normalised(mut ranges: Vec<RangeInclusive<u128>>) -> Vec<RangeInclusive<u128>> {
    ranges.sort_by_key(|range| *range.start());
    let mut joined: Vec<RangeInclusive<u128>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end().saturating_add(1) >= *range.start() => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => joined.push(range),
        }
    }
    joined
}

fn narrow<T: TryFrom<u128>>(ranges: Vec<RangeInclusive<u128>>) -> Ranges<T> {
    let number = |wide: u128| T::try_from(wide).ok().expect("made from numbers of this width");
    ranges
        .into_iter()
        .map(|range| number(*range.start())..=number(*range.end()))
        .collect()
}

/// A range around an anchor: itself, a prefix, or up to another anchor.
fn range(random: &mut Random, anchors: &[u128], bits: usize) -> RangeInclusive<u128> {
    let last = u128::MAX >> (128 - bits);
    let anchor = *random.pick(anchors);
    match random.below(10) {
        0..3 => anchor..=anchor,
        3..7 => {
            // Host bits; all of them gives the whole space.
            let host = *random.pick(&[0, 1, 2, 3, bits / 4, bits / 2, bits - 8, bits - 1, bits]);
            let mask = if host == 0 { 0 } else { u128::MAX >> (128 - host) };
            anchor & !mask..=(anchor | mask) & last
        }
        7 => anchor..=anchor.saturating_add(random.wide() & 0xff).min(last),
        8 => anchor.saturating_sub(random.wide() & 0x3)..=anchor,
        _ => {
            let other = *random.pick(anchors);
            anchor.min(other)..=anchor.max(other)
        }
    }
}

fn ranges(random: &mut Random, anchors: &[u128], bits: usize) -> Vec<RangeInclusive<u128>> {
    let count = 1 + random.below(3) * random.below(2);
    normalised((0..count).map(|_| range(random, anchors, bits)).collect())
}

fn wide<T: Copy + Into<u128>>(list: &[T]) -> Vec<u128> {
    list.iter().map(|&value| value.into()).collect()
}

fn addresses(random: &mut Random, anchors: &Anchors) -> Option<AddressSet> {
    if random.percent(35) {
        return None;
    }
    let mut set = AddressSet::default();
    let families = random.below(4);
    if families != 0 {
        set.v4 = narrow(ranges(random, &wide(&anchors.v4), 32));
    }
    if families != 1 {
        set.v6 = narrow(ranges(random, &anchors.v6, 128));
    }
    Some(set)
}

fn ports(random: &mut Random, anchors: &Anchors, any_percent: usize) -> Ranges<u16> {
    if random.percent(any_percent) {
        return vec![0..=u16::MAX];
    }
    narrow(ranges(random, &wide(&anchors.ports), 16))
}

fn messages(random: &mut Random) -> Ranges<u16> {
    if random.percent(20) {
        return vec![0..=u16::MAX];
    }
    let count = 1 + random.below(3);
    let one = |random: &mut Random| {
        let kind = *random.pick(&[0u128, 3, 8, 11, 128, 129, 255]);
        let code = random.wide() & 0x3;
        if random.percent(50) {
            kind << 8..=kind << 8 | 0xff
        } else {
            kind << 8 | code..=kind << 8 | code
        }
    };
    narrow(normalised((0..count).map(|_| one(random)).collect()))
}

fn protocol(random: &mut Random, anchors: &Anchors) -> ProtocolMatch {
    match random.below(10) {
        0 => ProtocolMatch::Any,
        1 => ProtocolMatch::Icmp4(messages(random)),
        2 => ProtocolMatch::Icmp6(messages(random)),
        3 => ProtocolMatch::Number(*random.pick(&OTHERS)),
        _ => ProtocolMatch::Ports {
            protocol: TRANSPORTS[random.below(2) * random.below(3) + random.below(2)],
            source: ports(random, anchors, 80),
            destination: ports(random, anchors, 10),
        },
    }
}

fn rule(random: &mut Random, anchors: &Anchors, number: usize, shape: usize) -> Rule {
    let protocols = 1 + random.below(3) * random.below(2);
    let interfaces = random.percent(if shape & 1 == 0 { 0 } else { 20 }).then(|| {
        vec![
            (*random.pick(&GLOBS)).to_owned(),
            (*random.pick(&GLOBS)).to_owned(),
        ]
    });
    let vlans = random
        .percent(if shape & 2 == 0 { 0 } else { 20 })
        .then(|| narrow(ranges(random, &wide(&anchors.vlans), 12)));
    Rule {
        name: format!("r{number}").into(),
        origin: Origin {
            file: "random.toml".into(),
            line: 1,
            span: 0..0,
        },
        direction: *random.pick(&[
            Direction::In,
            Direction::In,
            Direction::In,
            Direction::Out,
            Direction::Out,
            Direction::Forward,
        ]),
        matches: Matches {
            protocols: (0..protocols).map(|_| protocol(random, anchors)).collect(),
            source: addresses(random, anchors),
            destination: addresses(random, anchors),
            interfaces,
            vlans,
        },
        action: *random.pick(&[Action::Allow, Action::Drop, Action::Reject]),
        log: random.percent(20).then_some(LogRate { events_per_second: 5 }),
        owner: None,
        reason: None,
        review: None,
        term: None,
    }
}

/// Ticks at which rules of a policy end; packets come before and after them.
const ENDS: [u32; 7] = [3_000_000_000, 1, 999, 1000, 1001, 1100, 800_000_000];

/// A term that ends at so many ticks.
fn term(ticks: u32) -> Term {
    Term {
        since: Timestamp::MIN,
        until: Timestamp::from_second(ticks.into()).expect("this century or the next"),
    }
}

/// The end of a term in ticks: see [`term`].
pub(crate) fn end_of(term: Term) -> u32 {
    u32::try_from(term.until.as_second()).expect("made by `term`")
}

/// Gives every other rule an end.
pub(crate) fn limit(policy: &mut ValidPolicy, random: &mut Random) {
    for rule in &mut policy.rules {
        rule.term = random.percent(50).then(|| term(*random.pick(&ENDS)));
    }
}

/// A policy of so many rules.
pub(crate) fn policy(random: &mut Random, size: usize) -> ValidPolicy {
    let anchors = Anchors::new(random);
    // Some policies do without interfaces or VLANs, so that these dimensions are off.
    let shape = random.below(4);
    let action = |random: &mut Random| *random.pick(&[Action::Drop, Action::Reject, Action::Allow]);
    let defaults = Defaults {
        input: action(random),
        output: action(random),
        forward: action(random),
    };
    let rules = (0..size)
        .map(|number| rule(random, &anchors, number, shape))
        .collect();
    let mut policy = rule_sets::policy(rules);
    policy.settings.defaults = defaults;
    policy
}

/// Moves an end of the range by one, where there is room.
fn move_end<T: Copy + PartialOrd + From<u8> + std::ops::Sub<Output = T>>(
    range: &mut RangeInclusive<T>,
) -> bool {
    if range.end() > range.start() {
        *range = *range.start()..=*range.end() - T::from(1);
        return true;
    }
    false
}

fn move_one<T: Copy + PartialOrd + From<u8> + std::ops::Sub<Output = T>>(
    ranges: &mut Ranges<T>,
    random: &mut Random,
) -> bool {
    let count = ranges.len();
    count > 0 && move_end(&mut ranges[random.below(count)])
}

/// Changes a rule slightly; false where this change does not apply to it.
pub(crate) fn damage(rule: &mut Rule, random: &mut Random) -> bool {
    match random.below(6) {
        0 => match &mut rule.matches.source {
            Some(set) if !set.v4.is_empty() => move_one(&mut set.v4, random),
            _ => false,
        },
        1 => match &mut rule.matches.destination {
            Some(set) if !set.v6.is_empty() => move_one(&mut set.v6, random),
            _ => false,
        },
        2 => match &mut rule.matches.protocols[0] {
            ProtocolMatch::Ports { destination, .. } => move_one(destination, random),
            ProtocolMatch::Icmp4(messages) | ProtocolMatch::Icmp6(messages) => move_one(messages, random),
            ProtocolMatch::Any | ProtocolMatch::Number(_) => false,
        },
        3 => rule
            .matches
            .vlans
            .as_mut()
            .is_some_and(|vlans| move_one(vlans, random)),
        4 => rule.matches.interfaces.take().is_some(),
        _ => {
            rule.action = match rule.action {
                Action::Allow => Action::Drop,
                Action::Drop => Action::Reject,
                Action::Reject => Action::Allow,
            };
            true
        }
    }
}
