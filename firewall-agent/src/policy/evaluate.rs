//! What a policy says of one packet: the rules are tried one by one, in order.
//!
//! This is the project's independent oracle. It shares no look-up code with the compiler or the kernel side, and it
//! is meant to be read next to the types of [`model`](super::model): slow, and plainly right. It knows rules and
//! defaults only, not the connection state, the failsafe or the checks that come before any rule.

use std::{net::IpAddr, ops::RangeInclusive};

use super::model::{Action, AddressSet, Direction, Matches, ProtocolMatch, Rule, ValidPolicy};

/// What is above the network header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeProtocol {
    /// A transport with ports.
    Ports {
        /// IP protocol number: TCP 6, UDP 17, SCTP 132, UDP-Lite 136.
        protocol: u8,
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// An ICMP message: `ICMPv4` between IPv4 addresses, `ICMPv6` between IPv6 addresses.
    Icmp {
        /// Message type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Any other protocol by its number.
    Number(u8),
}

/// A packet, as far as rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Probe<'a> {
    /// Which way it goes.
    pub direction: Direction,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// What is above the network header.
    pub protocol: ProbeProtocol,
    /// Name of the interface, if known; a rule for certain interfaces does not match without.
    pub interface: Option<&'a str>,
    /// 802.1Q identifier of the outermost tag, if tagged.
    pub vlan: Option<u16>,
}

/// The verdict and who gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// The verdict.
    pub verdict: Action,
    /// Index of the rule in the policy; `None` if it is the default.
    pub rule: Option<usize>,
}

/// Tries the rules in order; the first that matches decides, else the default of the direction. None has ended.
pub fn evaluate(policy: &ValidPolicy, probe: &Probe<'_>) -> Decision {
    evaluate_without(policy, probe, |_| false)
}

/// As [`evaluate`], at a time at which some rules have ended.
pub fn evaluate_without(
    policy: &ValidPolicy,
    probe: &Probe<'_>,
    has_ended: impl Fn(&Rule) -> bool,
) -> Decision {
    for (index, rule) in policy.rules.iter().enumerate() {
        if rule.direction == probe.direction && matches(&rule.matches, probe) && !has_ended(rule) {
            return Decision {
                verdict: rule.action,
                rule: Some(index),
            };
        }
    }
    let defaults = &policy.settings.defaults;
    let verdict = match probe.direction {
        Direction::In => defaults.input,
        Direction::Out => defaults.output,
        Direction::Forward => defaults.forward,
    };
    Decision { verdict, rule: None }
}

/// Whether all conditions hold for the packet.
#[must_use]
pub fn matches(conditions: &Matches, probe: &Probe<'_>) -> bool {
    conditions
        .protocols
        .iter()
        .any(|protocol| protocol_matches(protocol, probe))
        && conditions
            .source
            .as_ref()
            .is_none_or(|set| address_in(set, probe.source))
        && conditions
            .destination
            .as_ref()
            .is_none_or(|set| address_in(set, probe.destination))
        && conditions
            .interfaces
            .as_ref()
            .is_none_or(|globs| interface_in(globs, probe.interface))
        && conditions
            .vlans
            .as_ref()
            .is_none_or(|vlans| probe.vlan.is_some_and(|vlan| is_in(vlans, vlan)))
}

/// A kind of condition of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// What is above the network header.
    Protocol,
    /// Where it comes from.
    Source,
    /// Where it goes to.
    Destination,
    /// The interface.
    Interface,
    /// The VLAN.
    Vlan,
}

/// The conditions that do not hold for the packet; none where it [`matches()`].
#[must_use]
pub fn unmet(conditions: &Matches, probe: &Probe<'_>) -> Vec<Condition> {
    let anything = || Matches {
        protocols: vec![ProtocolMatch::Any],
        source: None,
        destination: None,
        interfaces: None,
        vlans: None,
    };
    let alone = [
        (
            Condition::Protocol,
            Matches {
                protocols: conditions.protocols.clone(),
                ..anything()
            },
        ),
        (
            Condition::Source,
            Matches {
                source: conditions.source.clone(),
                ..anything()
            },
        ),
        (
            Condition::Destination,
            Matches {
                destination: conditions.destination.clone(),
                ..anything()
            },
        ),
        (
            Condition::Interface,
            Matches {
                interfaces: conditions.interfaces.clone(),
                ..anything()
            },
        ),
        (
            Condition::Vlan,
            Matches {
                vlans: conditions.vlans.clone(),
                ..anything()
            },
        ),
    ];
    alone
        .into_iter()
        .filter(|(_, matches)| !self::matches(matches, probe))
        .map(|(condition, _)| condition)
        .collect()
}

fn protocol_matches(condition: &ProtocolMatch, probe: &Probe<'_>) -> bool {
    match (condition, probe.protocol) {
        (ProtocolMatch::Any, _) => true,
        (
            ProtocolMatch::Ports {
                protocol,
                source,
                destination,
            },
            ProbeProtocol::Ports {
                protocol: seen,
                source: from,
                destination: to,
            },
        ) => *protocol == seen && is_in(source, from) && is_in(destination, to),
        (ProtocolMatch::Icmp4(messages), ProbeProtocol::Icmp { kind, code }) => {
            probe.source.is_ipv4() && is_in(messages, u16::from(kind) * 256 + u16::from(code))
        }
        (ProtocolMatch::Icmp6(messages), ProbeProtocol::Icmp { kind, code }) => {
            probe.source.is_ipv6() && is_in(messages, u16::from(kind) * 256 + u16::from(code))
        }
        (ProtocolMatch::Number(number), ProbeProtocol::Number(seen)) => *number == seen,
        _ => false,
    }
}

/// Whether an address is in a set.
#[must_use]
pub fn address_in(set: &AddressSet, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_in(&set.v4, u32::from(address)),
        IpAddr::V6(address) => is_in(&set.v6, u128::from(address)),
    }
}

fn is_in<T: PartialOrd + Copy>(ranges: &[RangeInclusive<T>], value: T) -> bool {
    ranges.iter().any(|range| range.contains(&value))
}

fn interface_in(globs: &[String], interface: Option<&str>) -> bool {
    interface.is_some_and(|name| {
        globs
            .iter()
            .any(|glob| glob_matches(glob.as_bytes(), name.as_bytes()))
    })
}

/// `*` is any run of characters, `?` any one. On a mismatch the last `*` takes one character more.
pub(crate) fn glob_matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut glob_at, mut name_at) = (0, 0);
    let mut last_star = None;
    while name_at < name.len() {
        match glob.get(glob_at) {
            Some(b'*') => {
                last_star = Some((glob_at, name_at));
                glob_at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == name[name_at] => {
                glob_at += 1;
                name_at += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else {
                    return false;
                };
                last_star = Some((star, taken + 1));
                glob_at = star + 1;
                name_at = taken + 1;
            }
        }
    }
    glob[glob_at..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(source: &str, destination: &str, protocol: ProbeProtocol) -> Probe<'static> {
        Probe {
            direction: Direction::In,
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            protocol,
            interface: Some("eth0"),
            vlan: None,
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

    const ECHO: ProbeProtocol = ProbeProtocol::Icmp { kind: 8, code: 0 };

    #[test]
    fn icmp_of_one_family_does_not_match_the_other() {
        let rule = Matches {
            protocols: vec![ProtocolMatch::Icmp4(vec![0x0800..=0x08ff])],
            ..everything()
        };
        assert!(matches(&rule, &probe("10.0.0.1", "10.0.0.2", ECHO)));
        assert!(!matches(&rule, &probe("fd00::1", "fd00::2", ECHO)));
    }

    #[test]
    fn a_vlan_condition_does_not_match_untagged() {
        let rule = Matches {
            vlans: Some(vec![0..=4094]),
            ..everything()
        };
        let untagged = probe("10.0.0.1", "10.0.0.2", ECHO);
        assert!(!matches(&rule, &untagged));
        assert!(matches(
            &rule,
            &Probe {
                vlan: Some(10),
                ..untagged
            }
        ));
    }

    #[test]
    fn udplite_is_not_udp() {
        let udp = ProtocolMatch::Ports {
            protocol: 17,
            source: vec![0..=65535],
            destination: vec![53..=53],
        };
        let rule = Matches {
            protocols: vec![udp],
            ..everything()
        };
        let to_53 = |protocol| ProbeProtocol::Ports {
            protocol,
            source: 1,
            destination: 53,
        };
        assert!(matches(&rule, &probe("10.0.0.1", "10.0.0.2", to_53(17))));
        assert!(!matches(&rule, &probe("10.0.0.1", "10.0.0.2", to_53(136))));
    }

    #[test]
    fn globs() {
        for (glob, name, expected) in [
            ("eth0", "eth0", true),
            ("eth*", "eth0", true),
            ("eth*", "eth", true),
            ("eth?", "eth", false),
            ("*.100", "eth0.100", true),
            ("*.100", "eth0.1000", false),
            ("*", "", true),
            ("e*h*0", "eth10", true),
            ("e*h*0", "eth1", false),
        ] {
            assert_eq!(
                glob_matches(glob.as_bytes(), name.as_bytes()),
                expected,
                "{glob} {name}"
            );
        }
    }
}
