//! Rule sets like those of `ClassBench` (Taylor and Turner, INFOCOM 2005), of any size and either family, and shapes that
//! are hard on look-ups. A seed gives the same set here and in every later version.
//!
//! The shares of lengths, ports and protocols are round numbers near what the paper reports of access lists, firewalls
//! and IP chains; no filter set of anybody is in here.

use std::{
    collections::HashSet,
    fmt::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use firewall_agent::policy::model::{
    Action, AddressSet, Defaults, Direction, Failsafe, Forwarded, Matches, Origin, PolicySettings,
    ProtocolMatch, Rule, Timers, ValidPolicy,
};
use firewall_common::address::Family;

use crate::random::Random;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// The port of [`last`]; no drawn rule has it alone.
pub const LAST_PORT: u16 = 4443;

/// What a rule set looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An access list: hosts and networks on both sides, services by their ports.
    Acl,
    /// A firewall: many rules for any source or any port.
    Fw,
    /// IP chains: both sides given, of all lengths.
    Ipc,
    /// Every rule matches everything that has its protocol.
    Wildcards,
    /// Short prefixes and wide ranges: each packet matches many rules.
    Overlapping,
    /// Every other port, from one source after the other.
    AlternatingPorts,
    /// Prefixes inside prefixes, down to one address.
    Nests,
}

impl Shape {
    /// Those that stand for real ones.
    pub const LIKE_CLASSBENCH: [Self; 3] = [Self::Acl, Self::Fw, Self::Ipc];
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Acl,
        Self::Fw,
        Self::Ipc,
        Self::Wildcards,
        Self::Overlapping,
        Self::AlternatingPorts,
        Self::Nests,
    ];
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Acl => "acl",
            Self::Fw => "fw",
            Self::Ipc => "ipc",
            Self::Wildcards => "wildcards",
            Self::Overlapping => "overlapping",
            Self::AlternatingPorts => "alternating ports",
            Self::Nests => "nests",
        })
    }
}

/// So many rules for incoming packets of one family, called r0, r1 and so on.
#[must_use]
pub fn rules(shape: Shape, family: Family, count: usize, seed: u64) -> Vec<Rule> {
    let mut draw = Draw {
        random: Random::new(seed),
        bits: if family == Family::V4 { 32 } else { 128 },
        networks: Vec::new(),
    };
    (0..count)
        .map(|number| {
            let matches = match shape {
                Shape::Acl | Shape::Fw | Shape::Ipc => draw.like_classbench(shape),
                Shape::Wildcards => draw.wildcard(),
                Shape::Overlapping => draw.overlapping(),
                Shape::AlternatingPorts => draw.alternating(number),
                Shape::Nests => draw.nested(number),
            };
            rule(number, matches, [Action::Allow, Action::Drop][number % 2])
        })
        .collect()
}

/// As [`rules`], and a last one that drops what comes to [`LAST_PORT`] by TCP. Nothing before it matches that where it
/// comes from below 112.0.0.0 or from below `fd00::/8`, wherever it goes to.
#[must_use]
pub fn rules_before_last(shape: Shape, family: Family, count: usize, seed: u64) -> Vec<Rule> {
    // Few sets need more than three times as many draws.
    let mut rules = rules(shape, family, count * 4, seed);
    rules.retain(|rule| !may_take_last(rule));
    rules.truncate(count - 1);
    for (number, rule) in rules.iter_mut().enumerate() {
        rule.name = format!("r{number}").into();
    }
    rules.push(last(rules.len()));
    rules
}

/// As [`rules_before_last`], of rules that a policy file can have: without destinations, and each decides something. No
/// two are of one source, the longer prefix comes first, and those for any source have one port each.
#[must_use]
pub fn rules_of_file(shape: Shape, family: Family, count: usize, seed: u64) -> Vec<Rule> {
    let mut rules = rules(shape, family, count * 8, seed);
    let mut known = HashSet::new();
    rules.retain_mut(|rule| {
        rule.matches.destination = None;
        if may_take_last(rule) {
            return false;
        }
        match &rule.matches.source {
            Some(set) => known.insert(prefix_text(set)),
            None => single_port(rule) && known.insert(service_text(&rule.matches.protocols[0])),
        }
    });
    rules.truncate(count - 1);
    rules.sort_by_key(|rule| rule.matches.source.as_ref().map_or(u128::MAX, width));
    for (number, rule) in rules.iter_mut().enumerate() {
        rule.name = format!("r{number}").into();
    }
    rules.push(last(rules.len()));
    rules
}

/// How many addresses lie behind the first.
fn width(set: &AddressSet) -> u128 {
    let v4 = set
        .v4
        .first()
        .map(|range| u128::from(range.end() - range.start()));
    v4.or_else(|| set.v6.first().map(|range| range.end() - range.start()))
        .unwrap_or_default()
}

/// Whether it is for one port, from any.
fn single_port(rule: &Rule) -> bool {
    match &rule.matches.protocols[0] {
        ProtocolMatch::Ports {
            source, destination, ..
        } => destination[0].start() == destination[0].end() && source[0] == (0..=u16::MAX),
        _ => false,
    }
}

/// Whether it may match what [`last`] is for.
fn may_take_last(rule: &Rule) -> bool {
    let by_service = rule.matches.protocols.iter().any(|condition| match condition {
        ProtocolMatch::Any => true,
        ProtocolMatch::Ports {
            protocol,
            destination,
            ..
        } => *protocol == TCP && destination.iter().any(|range| range.contains(&LAST_PORT)),
        _ => false,
    });
    let from_near = |set: &AddressSet| {
        let near_v4 = set.v4.iter().any(|range| *range.start() < 112 << 24);
        near_v4 || set.v6.iter().any(|range| *range.end() >= 0xfd << 120)
    };
    by_service && rule.matches.source.as_ref().is_none_or(from_near)
}

/// A rule that drops what comes to [`LAST_PORT`] by TCP.
#[must_use]
pub fn last(number: usize) -> Rule {
    rule(
        number,
        Matches {
            protocols: vec![ports(TCP, 0..=u16::MAX, LAST_PORT..=LAST_PORT)],
            ..anything()
        },
        Action::Drop,
    )
}

/// A policy of these rules, that drops what none of them matches.
#[must_use]
pub fn policy(rules: Vec<Rule>) -> ValidPolicy {
    ValidPolicy {
        role: "drawn".into(),
        host: None,
        settings: PolicySettings {
            defaults: Defaults {
                input: Action::Drop,
                output: Action::Drop,
                forward: Action::Drop,
            },
            timers: Timers::default(),
            interfaces: vec!["*".into()],
            forwarded: Forwarded::default(),
            tcp_midflow_pickup: false,
            keep_live_flows: false,
            allow_icmp_redirects: true,
            allow_source_routing: false,
            allowed_ether_types: Vec::new(),
        },
        failsafe: Failsafe::default(),
        rules,
        lists: Vec::new(),
    }
}

/// The rules of [`rules_of_file`] as a policy file has them.
#[must_use]
pub fn text(rules: &[Rule]) -> String {
    let mut text = String::new();
    for rule in rules {
        let verdict = if rule.action == Action::Allow {
            "allow"
        } else {
            "drop"
        };
        let service = service_text(&rule.matches.protocols[0]);
        let from = rule.matches.source.as_ref().map_or("any".to_owned(), prefix_text);
        let name = &rule.name;
        writeln!(
            text,
            "[[rule]]\nname = \"{name}\"\n{verdict} = \"{service}\"\nfrom = \"{from}\""
        )
        .expect("a string takes everything");
        if let ProtocolMatch::Ports { source, .. } = &rule.matches.protocols[0]
            && source[0] != (0..=u16::MAX)
        {
            let range = range_text(&source[0]);
            let quoted = if range.contains('-') {
                format!("\"{range}\"")
            } else {
                range
            };
            writeln!(text, "from_port = {quoted}").expect("a string takes everything");
        }
    }
    text
}

fn service_text(condition: &ProtocolMatch) -> String {
    match condition {
        ProtocolMatch::Ports {
            protocol,
            destination,
            ..
        } => {
            let name = if *protocol == TCP { "tcp" } else { "udp" };
            if destination[0] == (0..=u16::MAX) {
                return name.to_owned();
            }
            format!("{name}/{}", range_text(&destination[0]))
        }
        ProtocolMatch::Icmp4(_) | ProtocolMatch::Icmp6(_) => "ping".to_owned(),
        ProtocolMatch::Number(_) | ProtocolMatch::Any => "any".to_owned(),
    }
}

fn range_text(range: &RangeInclusive<u16>) -> String {
    let (first, last) = (range.start(), range.end());
    if first == last {
        return first.to_string();
    }
    format!("{first}-{last}")
}

/// The set as a prefix; it is one.
fn prefix_text(set: &AddressSet) -> String {
    if let [range] = &*set.v4 {
        let length = (range.start() ^ range.end()).leading_zeros();
        return format!("{}/{length}", Ipv4Addr::from_bits(*range.start()));
    }
    let range = &set.v6[0];
    let length = (range.start() ^ range.end()).leading_zeros();
    format!("{}/{length}", Ipv6Addr::from_bits(*range.start()))
}

/// An address of a family from its number.
///
/// # Panics
/// Where the number has more bits.
#[must_use]
pub fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(number).expect("32 bits")).into(),
        Family::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

fn rule(number: usize, matches: Matches, action: Action) -> Rule {
    Rule {
        name: format!("r{number}").into(),
        origin: Origin {
            file: "drawn.toml".into(),
            line: 1,
            span: 0..0,
        },
        direction: Direction::In,
        matches,
        action,
        log: None,
        owner: None,
        reason: None,
        review: None,
    }
}

fn anything() -> Matches {
    Matches {
        protocols: vec![ProtocolMatch::Any],
        source: None,
        destination: None,
        interfaces: None,
        vlans: None,
    }
}

fn ports(protocol: u8, source: RangeInclusive<u16>, destination: RangeInclusive<u16>) -> ProtocolMatch {
    ProtocolMatch::Ports {
        protocol,
        source: vec![source],
        destination: vec![destination],
    }
}

/// Shares in percent, each with what it is a share of.
type Shares<T> = &'static [(usize, T)];

/// How many bits of an address count, of 32; IPv6 has four times as many.
const SOURCES: [Shares<u32>; 3] = [
    &[(10, 0), (5, 8), (10, 16), (35, 24), (10, 28), (30, 32)],
    &[(45, 0), (5, 8), (10, 16), (15, 24), (25, 32)],
    &[(10, 0), (5, 8), (15, 16), (30, 24), (10, 27), (30, 32)],
];
const DESTINATIONS: [Shares<u32>; 3] = [
    &[(5, 0), (10, 16), (30, 24), (55, 32)],
    &[(25, 0), (5, 16), (20, 24), (50, 32)],
    &[(15, 0), (15, 16), (35, 24), (35, 32)],
];

/// Kinds of a range of ports.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Any,
    /// From 1024 on.
    High,
    /// Up to 1023.
    Low,
    Range,
    Exact,
}

const SOURCE_PORTS: [Shares<Kind>; 3] = [
    &[(98, Kind::Any), (2, Kind::High)],
    &[(80, Kind::Any), (15, Kind::High), (5, Kind::Exact)],
    &[(85, Kind::Any), (5, Kind::High), (5, Kind::Low), (5, Kind::Exact)],
];
const DESTINATION_PORTS: [Shares<Kind>; 3] = [
    &[
        (25, Kind::Any),
        (5, Kind::High),
        (2, Kind::Low),
        (10, Kind::Range),
        (58, Kind::Exact),
    ],
    &[
        (35, Kind::Any),
        (10, Kind::High),
        (5, Kind::Low),
        (10, Kind::Range),
        (40, Kind::Exact),
    ],
    &[
        (35, Kind::Any),
        (5, Kind::High),
        (5, Kind::Low),
        (10, Kind::Range),
        (45, Kind::Exact),
    ],
];
const PROTOCOLS: [Shares<u8>; 3] = [
    &[(80, TCP), (15, UDP), (3, 1), (2, 0)],
    &[(60, TCP), (25, UDP), (7, 1), (8, 0)],
    &[(65, TCP), (25, UDP), (5, 1), (5, 0)],
];

struct Draw {
    random: Random,
    /// Of an address.
    bits: u32,
    /// Prefixes drawn so far, for others to lie in.
    networks: Vec<(u128, u32)>,
}

impl Draw {
    fn share<T: Copy>(&mut self, shares: Shares<T>) -> T {
        let mut number = self.random.below(100);
        for &(percent, what) in shares {
            if number < percent {
                return what;
            }
            number -= percent;
        }
        shares[0].1
    }

    fn like_classbench(&mut self, shape: Shape) -> Matches {
        let row = match shape {
            Shape::Fw => 1,
            Shape::Ipc => 2,
            _ => 0,
        };
        let source = self.share(SOURCES[row]);
        let destination = self.share(DESTINATIONS[row]);
        Matches {
            protocols: vec![self.protocol(row)],
            source: self.prefix(source * self.bits / 32),
            destination: self.prefix(destination * self.bits / 32),
            ..anything()
        }
    }

    fn protocol(&mut self, row: usize) -> ProtocolMatch {
        match self.share(PROTOCOLS[row]) {
            0 => ProtocolMatch::Any,
            1 if self.bits == 32 => ProtocolMatch::Icmp4(vec![0x0800..=0x08ff]),
            1 => ProtocolMatch::Icmp6(vec![0x8000..=0x80ff]),
            protocol => {
                let source = self.share(SOURCE_PORTS[row]);
                let destination = self.share(DESTINATION_PORTS[row]);
                ports(protocol, self.ports(source), self.ports(destination))
            }
        }
    }

    /// Ranges never hold [`LAST_PORT`] unless they hold nearly everything.
    fn ports(&mut self, kind: Kind) -> RangeInclusive<u16> {
        let well_known = [
            22, 25, 53, 80, 110, 123, 143, 389, 443, 993, 1433, 3306, 5432, 8080,
        ];
        let below = |random: &mut Random, bound| u16::try_from(random.below(bound)).expect("16 bits");
        match kind {
            Kind::Any => 0..=u16::MAX,
            Kind::High => 1024..=u16::MAX,
            Kind::Low => 0..=1023,
            Kind::Range => {
                let first = 5000 + below(&mut self.random, 50_000);
                first..=first + below(&mut self.random, 1000)
            }
            Kind::Exact if self.random.percent(60) => {
                let port = *self.random.pick(&well_known);
                port..=port
            }
            Kind::Exact => {
                let port = 1 + below(&mut self.random, 4000);
                port..=port
            }
        }
    }

    /// A prefix of so many bits; three of four lie in one that was drawn before.
    fn prefix(&mut self, length: u32) -> Option<AddressSet> {
        if length == 0 {
            return None;
        }
        let (base, kept) = if !self.networks.is_empty() && self.random.percent(75) {
            *self.random.pick(&self.networks)
        } else {
            (self.fresh(), self.bits / 8)
        };
        let kept = kept.min(length);
        let random = self.random.wide() & (u128::MAX >> (128 - self.bits));
        let number = base & high(self.bits, kept) | random & !high(self.bits, kept);
        Some(self.keep(number, length))
    }

    /// Global unicast, outside of what is never a source.
    fn fresh(&mut self) -> u128 {
        let random = self.random.wide();
        if self.bits == 32 {
            let first = [11 + random % 100, 130 + random % 60][usize::from(random >> 100 & 1 == 1)];
            return first << 24 | random >> 64 & 0x00ff_ffff;
        }
        0x2000 << 112 | (random >> 8) & (u128::MAX >> 4)
    }

    fn keep(&mut self, number: u128, length: u32) -> AddressSet {
        let first = number & high(self.bits, length);
        self.networks.push((first, length));
        let last = first | !high(self.bits, length) & (u128::MAX >> (128 - self.bits));
        if self.bits == 128 {
            return AddressSet {
                v6: vec![first..=last],
                ..AddressSet::default()
            };
        }
        let narrow = |number| u32::try_from(number).expect("32 bits");
        AddressSet {
            v4: vec![narrow(first)..=narrow(last)],
            ..AddressSet::default()
        }
    }

    fn wildcard(&mut self) -> Matches {
        let protocol = [TCP, UDP][self.random.below(2)];
        Matches {
            protocols: vec![ports(protocol, 0..=u16::MAX, 0..=u16::MAX)],
            ..anything()
        }
    }

    fn overlapping(&mut self) -> Matches {
        let mut range = || {
            let first = u16::try_from(self.random.below(30_000)).expect("16 bits");
            first..=first + 30_000
        };
        let (source_ports, destination_ports) = (range(), range());
        let mut short = || {
            let length = 1 + u32::try_from(self.random.below(6)).expect("small");
            self.prefix(length)
        };
        Matches {
            source: short(),
            destination: short(),
            protocols: vec![ports(TCP, source_ports, destination_ports)],
            ..anything()
        }
    }

    fn alternating(&mut self, number: usize) -> Matches {
        let port = u16::try_from(number * 2 % 65_536).expect("16 bits");
        let source = if number.is_multiple_of(3) {
            self.prefix(self.bits)
        } else {
            None
        };
        Matches {
            source,
            protocols: vec![ports(TCP, 0..=u16::MAX, port..=port)],
            ..anything()
        }
    }

    /// A nest of one address for each so many rules, from its longest prefix to its shortest.
    fn nested(&mut self, number: usize) -> Matches {
        let depth = u32::try_from(number).expect("a number of rules") % self.bits;
        let inner = if depth == 0 {
            self.fresh()
        } else {
            self.networks[self.networks.len() - 1].0
        };
        let source = self.keep(inner, self.bits - depth);
        let port = u16::try_from(number % 97).expect("small");
        Matches {
            source: Some(source),
            protocols: vec![ports(TCP, 0..=u16::MAX, port..=u16::MAX - port)],
            ..anything()
        }
    }
}

/// The upper so many of `bits` bits.
const fn high(bits: u32, length: u32) -> u128 {
    if length == 0 {
        return 0;
    }
    (u128::MAX << (128 - length)) >> (128 - bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_before_the_last_rule_is_for_its_packets() {
        for shape in Shape::LIKE_CLASSBENCH {
            let set = rules_before_last(shape, Family::V4, 1000, 1);
            assert_eq!(set.len(), 1000, "{shape}");
            assert!(!set[..999].iter().any(may_take_last), "{shape}");
            assert!(may_take_last(&set[999]));
            let all = rules(shape, Family::V4, 1000, 1);
            assert!(all.iter().any(may_take_last), "{shape}");
        }
    }

    #[test]
    fn a_seed_repeats_a_set_and_another_gives_another() {
        for shape in Shape::ALL {
            let of = |seed| rules(shape, Family::V6, 300, seed);
            assert_eq!(of(1), of(1), "{shape}");
        }
        let of = |seed| rules(Shape::Acl, Family::V4, 300, seed);
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_set_as_text_means_the_same() {
        for (shape, family) in [
            (Shape::Acl, Family::V4),
            (Shape::Fw, Family::V4),
            (Shape::Ipc, Family::V6),
        ] {
            let drawn = rules_of_file(shape, family, 300, 1);
            assert_eq!(drawn.len(), 300, "{shape}");
            let read = crate::host::policy(&text(&drawn)).rules;
            let meaning = |rules: &[Rule]| -> Vec<_> {
                let what = |rule: &Rule| (rule.name.clone(), rule.action, rule.matches.source.clone());
                rules.iter().map(what).collect()
            };
            assert_eq!(meaning(&read), meaning(&drawn), "{shape}");
        }
    }

    #[test]
    fn a_set_has_both_single_addresses_and_rules_for_any_source() {
        for shape in Shape::LIKE_CLASSBENCH {
            let set = rules(shape, Family::V4, 1000, 1);
            let singles = set.iter().filter_map(|rule| rule.matches.source.as_ref());
            let singles = singles.filter(|set| set.v4[0].start() == set.v4[0].end()).count();
            let any = set.iter().filter(|rule| rule.matches.source.is_none()).count();
            assert!(singles > 150 && any > 50, "{shape}: {singles} single, {any} any");
        }
    }
}
