//! Rule sets like those of `ClassBench` (Taylor and Turner, INFOCOM 2005), of any size and either family, and shapes that
//! are hard on look-ups. A seed gives the same set here and in every later version.
//!
//! The shares of lengths, ports and protocols are round numbers near what the paper reports of access lists, firewalls
//! and IP chains; no filter set of anybody is in here.

mod draw;

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

use draw::Draw;

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
    let mut draw = Draw::new(family, seed);
    (0..count)
        .map(|number| {
            let matches = draw.matches(shape, number);
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
        term: None,
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
