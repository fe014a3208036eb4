//! Rules in a line, for people.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use firewall_common::wire::protocol;
use ipnet::{Ipv4Subnets, Ipv6Subnets};

use crate::policy::model::{Action, AddressSet, Direction, ProtocolMatch, Ranges};

/// Longest list that is written out.
const MOST: usize = 8;

pub(crate) const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
        Direction::Forward => "forward",
    }
}

pub(crate) const fn action(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Drop => "drop",
        Action::Reject => "reject",
    }
}

/// Protocols that are called by a name.
const PROTOCOLS: [(u8, &str); 6] = [
    (protocol::TCP, "tcp"),
    (protocol::UDP, "udp"),
    (protocol::ICMP, "icmp"),
    (protocol::ICMPV6, "icmpv6"),
    (protocol::SCTP, "sctp"),
    (protocol::UDP_LITE, "udplite"),
];

/// Name of a protocol, or its number.
pub(crate) fn protocol_name(number: u8) -> String {
    let known = PROTOCOLS.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// The protocol of this name or number.
pub(crate) fn protocol_number(text: &str) -> Option<u8> {
    let known = PROTOCOLS.iter().find(|(_, name)| *name == text);
    known.map_or_else(|| text.parse().ok(), |(number, _)| Some(*number))
}

/// Addresses as networks; `any` where all are meant.
pub(crate) fn addresses(set: Option<&AddressSet>) -> String {
    let Some(set) = set else { return "any".to_owned() };
    let v4 = set.v4.iter().flat_map(|range| {
        Ipv4Subnets::new(
            Ipv4Addr::from_bits(*range.start()),
            Ipv4Addr::from_bits(*range.end()),
            0,
        )
        .map(|network| short(&network.to_string(), "/32"))
    });
    let v6 = set.v6.iter().flat_map(|range| {
        Ipv6Subnets::new(
            Ipv6Addr::from_bits(*range.start()),
            Ipv6Addr::from_bits(*range.end()),
            0,
        )
        .map(|network| short(&network.to_string(), "/128"))
    });
    list(v4.chain(v6))
}

fn short(network: &str, host: &str) -> String {
    network.strip_suffix(host).unwrap_or(network).to_owned()
}

/// Kinds of packet, such as `tcp 80,443; icmp 8/0`.
pub(crate) fn protocols(matches: &[ProtocolMatch]) -> String {
    let texts: Vec<String> = matches.iter().map(protocol_match).collect();
    texts.join("; ")
}

fn protocol_match(kind: &ProtocolMatch) -> String {
    match kind {
        ProtocolMatch::Any => "any".to_owned(),
        ProtocolMatch::Number(number) => format!("protocol {number}"),
        ProtocolMatch::Icmp4(messages) => format!("icmp{}", icmp(messages)),
        ProtocolMatch::Icmp6(messages) => format!("icmpv6{}", icmp(messages)),
        ProtocolMatch::Ports {
            protocol,
            source,
            destination,
        } => {
            let mut text = protocol_name(*protocol);
            if !is_full(destination) {
                // Writing to a string cannot fail.
                let _ = write!(text, " {}", ports(destination));
            }
            if !is_full(source) {
                let _ = write!(text, " from port {}", ports(source));
            }
            text
        }
    }
}

fn is_full(ranges: &Ranges<u16>) -> bool {
    matches!(ranges.as_slice(), [range] if *range == (0..=u16::MAX))
}

fn ports(ranges: &Ranges<u16>) -> String {
    list(ranges.iter().map(range))
}

fn range(range: &RangeInclusive<u16>) -> String {
    match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}-{end}"),
    }
}

/// `type << 8 | code` as `type` where every code is meant, else `type/code`.
fn icmp(messages: &Ranges<u16>) -> String {
    if is_full(messages) {
        return String::new();
    }
    let texts = messages.iter().map(|range| {
        let [(first, low), (last, high)] = [*range.start(), *range.end()].map(|end| (end >> 8, end & 0xff));
        match (low, high) {
            (0, 0xff) if first == last => first.to_string(),
            (0, 0xff) => format!("{first}-{last}"),
            _ if range.start() == range.end() => format!("{first}/{low}"),
            _ => format!("{first}/{low}-{last}/{high}"),
        }
    });
    format!(" {}", list(texts))
}

fn list(texts: impl Iterator<Item = String>) -> String {
    let mut texts = texts.peekable();
    let mut written: Vec<String> = texts.by_ref().take(MOST).collect();
    if texts.peek().is_some() {
        written.push(format!("… and {} more", texts.count()));
    }
    if written.is_empty() {
        return "none".to_owned();
    }
    written.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_messages_read_like_the_policy() {
        let tcp = |source: Ranges<u16>, destination: Ranges<u16>| ProtocolMatch::Ports {
            protocol: 6,
            source,
            destination,
        };
        let all = || vec![0..=65535];
        for (matches, expected) in [
            (vec![ProtocolMatch::Any], "any"),
            (vec![tcp(all(), all())], "tcp"),
            (vec![tcp(all(), vec![80..=80, 443..=445])], "tcp 80,443-445"),
            (vec![tcp(vec![53..=53], all())], "tcp from port 53"),
            (
                vec![
                    ProtocolMatch::Icmp4(vec![0x0800..=0x08ff]),
                    ProtocolMatch::Icmp6(vec![0x8000..=0x8000]),
                ],
                "icmp 8; icmpv6 128/0",
            ),
            (vec![ProtocolMatch::Icmp4(all())], "icmp"),
            (vec![ProtocolMatch::Number(112)], "protocol 112"),
        ] {
            assert_eq!(protocols(&matches), expected);
        }
    }

    #[test]
    fn addresses_are_networks_where_they_can_be() {
        let set = AddressSet {
            v4: vec![0x0a00_0000..=0x0aff_ffff, 0xc000_0201..=0xc000_0201],
            v6: vec![0..=u128::MAX],
        };
        assert_eq!(addresses(Some(&set)), "10.0.0.0/8,192.0.2.1,::/0");
        assert_eq!(addresses(None), "any");
        assert_eq!(addresses(Some(&AddressSet::default())), "none");
    }

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let ranges = (0..20u16).map(|port| port * 10..=port * 10).collect();
        assert_eq!(ports(&ranges), "0,10,20,30,40,50,60,70,… and 12 more");
    }
}
