use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    super::{
        evaluate::{self, Probe, ProbeProtocol},
        model::{Action, AddressSet, Direction, Matches, Origin, ProtocolMatch, Ranges},
        ranges,
    },
    *,
};

fn rule(matches: Matches) -> Rule {
    Rule {
        name: "rule".into(),
        origin: Origin {
            file: "test.toml".into(),
            line: 1,
            span: 0..0,
        },
        direction: Direction::In,
        matches,
        action: Action::Allow,
        log: None,
        owner: None,
        reason: None,
        review: None,
        term: None,
    }
}

fn everything() -> Matches {
    Matches {
        protocols: vec![ProtocolMatch::Any],
        source: None,
        destination: None,
        interfaces: None,
        vlans: None,
    }
}

fn tcp(destination: Ranges<u16>) -> ProtocolMatch {
    ProtocolMatch::Ports {
        protocol: 6,
        source: ranges::full(),
        destination,
    }
}

fn from(text: &str) -> AddressSet {
    AddressSet::from(text.parse::<ipnet::IpNet>().expect("a network"))
}

fn covers(rules: Vec<Matches>) -> BTreeMap<usize, Cover> {
    covered(&rules.into_iter().map(rule).collect::<Vec<_>>())
}

#[test]
fn a_wider_rule_covers_a_narrower_one_and_not_the_other_way_round() {
    let wide = Matches {
        source: Some(from("10.0.0.0/8")),
        protocols: vec![tcp(vec![1..=1000])],
        ..everything()
    };
    let narrow = Matches {
        source: Some(from("10.1.0.0/16")),
        protocols: vec![tcp(vec![80..=80])],
        ..everything()
    };
    assert_eq!(
        covers(vec![wide.clone(), narrow.clone()]),
        BTreeMap::from([(1, Cover::One(0))])
    );
    assert_eq!(covers(vec![narrow, wide]), BTreeMap::new());
}

#[test]
fn equal_rules_are_the_same() {
    let one = Matches {
        source: Some(from("10.0.0.0/8")),
        ..everything()
    };
    assert_eq!(
        covers(vec![one.clone(), one]),
        BTreeMap::from([(1, Cover::Same(0))])
    );
}

#[test]
fn two_halves_cover_a_whole() {
    let half = |text| Matches {
        source: Some(from(text)),
        ..everything()
    };
    let rules = vec![half("10.0.0.0/9"), half("10.128.0.0/9"), half("10.0.0.0/8")];
    assert_eq!(covers(rules), BTreeMap::from([(2, Cover::Several(vec![0, 1]))]));
    let gap = vec![half("10.0.0.0/9"), half("10.128.0.0/10"), half("10.0.0.0/8")];
    assert_eq!(covers(gap), BTreeMap::new());
}

#[test]
fn a_rule_for_ipv4_does_not_cover_one_for_both() {
    let v4 = Matches {
        source: Some(from("0.0.0.0/0")),
        ..everything()
    };
    let v6 = Matches {
        source: Some(from("::/0")),
        ..everything()
    };
    assert_eq!(covers(vec![v4.clone(), everything()]), BTreeMap::new());
    assert_eq!(
        covers(vec![v4, v6, everything()]),
        BTreeMap::from([(2, Cover::Several(vec![0, 1]))])
    );
}

#[test]
fn a_rule_for_an_interface_or_vlan_does_not_cover_one_for_all() {
    let interface = Matches {
        interfaces: Some(vec!["eth0".into()]),
        ..everything()
    };
    let vlan = Matches {
        vlans: Some(vec![1..=4094]),
        ..everything()
    };
    assert_eq!(covers(vec![interface, everything()]), BTreeMap::new());
    assert_eq!(covers(vec![vlan.clone(), everything()]), BTreeMap::new());
    assert_eq!(
        covers(vec![everything(), vlan]),
        BTreeMap::from([(1, Cover::One(0))])
    );
}

#[test]
fn the_other_direction_does_not_cover() {
    let outgoing = Rule {
        direction: Direction::Out,
        ..rule(everything())
    };
    assert_eq!(covered(&[outgoing, rule(everything())]), BTreeMap::new());
}

/// Rules over a world so small that all of it can be looked at.
fn small_rule() -> impl Strategy<Value = Rule> {
    let set = prop::option::of(prop::collection::vec((0u8..6, 0u8..3), 1..3));
    let protocols = prop_oneof![
        Just(vec![ProtocolMatch::Any]),
        Just(vec![ProtocolMatch::Icmp4(vec![0x0800..=0x08ff])]),
        Just(vec![ProtocolMatch::Icmp6(vec![0x8000..=0x80ff])]),
        Just(vec![ProtocolMatch::Number(112)]),
        prop::collection::vec((prop_oneof![Just(6u8), Just(17u8)], 0u16..4, 0u16..4), 1..3).prop_map(
            |ports| {
                let matches = ports
                    .into_iter()
                    .map(|(protocol, first, more)| ProtocolMatch::Ports {
                        protocol,
                        source: ranges::full(),
                        destination: vec![first..=first + more],
                    });
                super::super::protocols::merged(matches)
            }
        ),
    ];
    (
        protocols,
        set.clone(),
        set,
        prop::option::of(0u16..3),
        prop::option::of(0..3u8),
        any::<bool>(),
    )
        .prop_map(|(protocols, source, destination, vlan, interface, log)| Rule {
            action: if log { Action::Allow } else { Action::Drop },
            ..rule(Matches {
                protocols,
                source: source.map(|ends| small_set(&ends)),
                destination: destination.map(|ends| small_set(&ends)),
                vlans: vlan.map(|first| vec![first..=2]),
                interfaces: interface
                    .map(|number| vec![["eth*", "eth0", "eth1"][usize::from(number)].to_owned()]),
            })
        })
}

fn small_set(ends: &[(u8, u8)]) -> AddressSet {
    let v4 = ends
        .iter()
        .map(|(first, more)| u32::from(*first)..=u32::from(first + more))
        .collect();
    let v6 = ends
        .iter()
        .skip(1)
        .map(|(first, more)| u128::from(*first)..=u128::from(first + more))
        .collect();
    AddressSet {
        v4: ranges::normalised(v4),
        v6: ranges::normalised(v6),
    }
}

/// Every packet that the small rules can tell apart.
fn small_world() -> Vec<Probe<'static>> {
    let mut protocols = vec![
        ProbeProtocol::Icmp { kind: 8, code: 0 },
        ProbeProtocol::Icmp { kind: 128, code: 0 },
        ProbeProtocol::Icmp { kind: 9, code: 0 },
        ProbeProtocol::Number(112),
        ProbeProtocol::Number(113),
    ];
    for destination in 0..8 {
        protocols.extend([6, 17].map(|protocol| ProbeProtocol::Ports {
            protocol,
            source: 9,
            destination,
        }));
    }
    let addresses = (0..9u8).flat_map(|number| {
        [
            IpAddr::V4(Ipv4Addr::from_bits(number.into())),
            IpAddr::V6(Ipv6Addr::from_bits(number.into())),
        ]
    });
    let addresses: Vec<_> = addresses.collect();
    let mut world = Vec::new();
    for source in &addresses {
        for destination in addresses.iter().filter(|one| one.is_ipv4() == source.is_ipv4()) {
            for protocol in &protocols {
                for vlan in [None, Some(0), Some(1), Some(2), Some(3)] {
                    for interface in ["eth0", "eth1", "eth2", "br0"] {
                        world.push(Probe {
                            direction: Direction::In,
                            source: *source,
                            destination: *destination,
                            protocol: *protocol,
                            interface: Some(interface),
                            vlan,
                        });
                    }
                }
            }
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_reported_never_decides(rules in prop::collection::vec(small_rule(), 1..6)) {
        let covers = covered(&rules);
        let mut decides = vec![false; rules.len()];
        let mut matched = vec![false; rules.len()];
        for probe in small_world() {
            let mut hits = (0..rules.len()).filter(|at| evaluate::matches(&rules[*at].matches, &probe)).peekable();
            if let Some(first) = hits.peek() {
                decides[*first] = true;
            }
            hits.for_each(|at| matched[at] = true);
        }
        for (at, cover) in &covers {
            prop_assert!(!decides[*at], "rule {} is said to be covered by {:?}", at, cover);
        }
        // Exact here: interfaces aside, nothing in the small world is beyond the limits.
        if rules.iter().all(|rule| rule.matches.interfaces.is_none()) {
            for at in (0..rules.len()).filter(|at| matched[*at] && !decides[*at]) {
                prop_assert!(covers.contains_key(&at), "rule {} never decides and is not reported", at);
            }
        }
    }
}

/// Many rules of shapes that policies have; must not be quadratic in practice.
#[test]
fn ten_thousand_rules_take_seconds_at_most() {
    let name: Arc<str> = "rule".into();
    let shapes: [fn(u32) -> Matches; 4] = [
        |number| Matches {
            source: Some(AddressSet::from(IpAddr::V4(Ipv4Addr::from_bits(
                0x0a00_0000 + number,
            )))),
            protocols: vec![tcp(vec![443..=443])],
            ..everything()
        },
        |number| Matches {
            source: Some(from("10.0.0.0/8")),
            protocols: vec![tcp(vec![u16::try_from(number).unwrap_or(0)..=u16::MAX])],
            ..everything()
        },
        |_| everything(),
        |number| Matches {
            protocols: vec![tcp(ranges::normalised(vec![
                80..=80,
                u16::try_from(number + 100).unwrap_or(0)..=u16::MAX,
            ]))],
            ..everything()
        },
    ];
    for (shape, matches) in shapes.iter().enumerate() {
        let rules: Vec<_> = (0..10_000)
            .map(|number| Rule {
                name: name.clone(),
                ..rule(matches(9_999 - number))
            })
            .collect();
        let begun = Instant::now();
        let found = covered(&rules).len();
        let taken = begun.elapsed();
        assert_eq!(found, if shape == 2 { 9_999 } else { 0 }, "shape {shape}");
        assert!(taken < Duration::from_secs(30), "shape {shape} took {taken:?}");
    }
}
