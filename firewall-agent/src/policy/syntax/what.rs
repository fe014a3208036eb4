//! What a rule speaks of: services, ports, ICMP messages, protocols.

use std::{ops::RangeInclusive, sync::Arc};

use super::{
    super::{model::ProtocolMatch, ranges},
    findings::Problem,
    name, number,
};

/// One item of `allow`, `drop` or `reject`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Written out.
    Protocol(ProtocolMatch),
    /// The name of a service.
    Service(Arc<str>),
}

/// IP protocol numbers (IANA "Assigned Internet Protocol Numbers") that have ports.
pub(crate) const TRANSPORTS: [(&str, u8); 4] = [("tcp", 6), ("udp", 17), ("udplite", 136), ("sctp", 132)];

/// Protocol numbers that `protocol/N` must not name, each with what to write or why.
const NOT_BY_NUMBER: [(u8, &str); 10] = [
    (0, "it is an IPv6 extension header, not a protocol"),
    (1, "write `icmp`"),
    (6, "write `tcp`"),
    (17, "write `udp`"),
    (43, "it is an IPv6 extension header, not a protocol"),
    (44, "it is an IPv6 extension header, not a protocol"),
    (58, "write `icmpv6`"),
    (60, "it is an IPv6 extension header, not a protocol"),
    (132, "write `sctp`"),
    (136, "write `udplite`"),
];

/// Services that every policy knows. The numbers are IANA's or the product's usual ones.
pub(crate) const BUILT_IN: &[(&str, &[&str])] = &[
    ("ah", &["protocol/51"]),
    ("bgp", &["tcp/179"]),
    ("dhcp", &["udp/67", "udp/547"]),
    ("dns", &["tcp/53", "udp/53"]),
    ("dns-over-tls", &["tcp/853"]),
    ("esp", &["protocol/50"]),
    ("firewall-agent-metrics", &["tcp/9464"]),
    ("galera", &["tcp/4567", "udp/4567", "tcp/4568", "tcp/4444"]),
    ("gre", &["protocol/47"]),
    ("haproxy-exporter", &["tcp/8405"]),
    ("http", &["tcp/80"]),
    ("http3", &["udp/443"]),
    ("https", &["tcp/443"]),
    ("igmp", &["protocol/2"]),
    ("imaps", &["tcp/993"]),
    ("ldaps", &["tcp/636"]),
    ("mdns", &["udp/5353"]),
    ("mysql", &["tcp/3306"]),
    ("mysql-group", &["tcp/33061"]),
    ("mysqlx", &["tcp/33060"]),
    ("node-exporter", &["tcp/9100"]),
    ("ntp", &["udp/123"]),
    ("ospf", &["protocol/89"]),
    ("ping", &["icmp/echo-request", "icmpv6/echo-request"]),
    ("postgresql", &["tcp/5432"]),
    ("prometheus", &["tcp/9090"]),
    ("redis", &["tcp/6379"]),
    ("smtp", &["tcp/25"]),
    ("snmp", &["udp/161"]),
    ("ssh", &["tcp/22"]),
    ("submission", &["tcp/587"]),
    ("syslog", &["tcp/514", "udp/514"]),
    ("syslog-tls", &["tcp/6514"]),
    ("vrrp", &["protocol/112"]),
    ("wireguard", &["udp/51820"]),
];

/// `ICMPv4` messages by name: type and, where the name means one code, the code (IANA "ICMP Parameters").
const ICMP4_NAMES: &[(&str, u8, Option<u8>)] = &[
    ("address-mask-reply", 18, None),
    ("address-mask-request", 17, None),
    ("destination-unreachable", 3, None),
    ("echo-reply", 0, None),
    ("echo-request", 8, None),
    ("fragmentation-needed", 3, Some(4)),
    ("host-unreachable", 3, Some(1)),
    ("network-unreachable", 3, Some(0)),
    ("parameter-problem", 12, None),
    ("port-unreachable", 3, Some(3)),
    ("protocol-unreachable", 3, Some(2)),
    ("redirect", 5, None),
    ("router-advertisement", 9, None),
    ("router-solicitation", 10, None),
    ("time-exceeded", 11, None),
    ("timestamp-reply", 14, None),
    ("timestamp-request", 13, None),
];

/// `ICMPv6` messages by name (IANA "ICMPv6 Parameters").
const ICMP6_NAMES: &[(&str, u8, Option<u8>)] = &[
    ("address-unreachable", 1, Some(3)),
    ("administratively-prohibited", 1, Some(1)),
    ("destination-unreachable", 1, None),
    ("echo-reply", 129, None),
    ("echo-request", 128, None),
    ("listener-done", 132, None),
    ("listener-query", 130, None),
    ("listener-report", 131, None),
    ("listener-report-v2", 143, None),
    ("neighbour-advertisement", 136, None),
    ("neighbour-solicitation", 135, None),
    ("no-route", 1, Some(0)),
    ("packet-too-big", 2, None),
    ("parameter-problem", 4, None),
    ("port-unreachable", 1, Some(4)),
    ("redirect", 137, None),
    ("router-advertisement", 134, None),
    ("router-solicitation", 133, None),
    ("time-exceeded", 3, None),
];

/// Reads one item.
pub(crate) fn parse(text: &str) -> Result<What, Problem> {
    match text.split_once('/') {
        Some((head, rest)) => detailed(text, head, rest).map(What::Protocol),
        None => bare(text),
    }
}

fn bare(text: &str) -> Result<What, Problem> {
    if text == "any" {
        return Ok(What::Protocol(ProtocolMatch::Any));
    }
    if let Some(protocol) = transport(text) {
        return Ok(What::Protocol(to_ports(protocol, ranges::full())));
    }
    match text {
        "icmp" => Ok(What::Protocol(ProtocolMatch::Icmp4(ranges::full()))),
        "icmpv6" => Ok(What::Protocol(ProtocolMatch::Icmp6(ranges::full()))),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
            Err(port_without_protocol(text))
        }
        _ => name::check(text).map(|()| What::Service(text.into())),
    }
}

/// Where a port is written without saying of which protocol.
pub(super) fn port_without_protocol(port: &str) -> Problem {
    Problem::new("a port needs its protocol").hint(format!("write \"tcp/{port}\" or \"udp/{port}\""))
}

fn detailed(text: &str, head: &str, rest: &str) -> Result<ProtocolMatch, Problem> {
    if let Some(protocol) = transport(head) {
        let ports = number::span(rest, "a port", &(0..=u16::MAX))?;
        if ports == (0..=u16::MAX) {
            return Err(Problem::new(format!("`{text}` is every port")).hint(format!("write `{head}`")));
        }
        return Ok(to_ports(protocol, vec![ports]));
    }
    match head {
        "icmp" => icmp(text, rest, ICMP4_NAMES).map(|messages| ProtocolMatch::Icmp4(vec![messages])),
        "icmpv6" => icmp(text, rest, ICMP6_NAMES).map(|messages| ProtocolMatch::Icmp6(vec![messages])),
        "protocol" => by_number(rest),
        _ => {
            let known = ["tcp", "udp", "udplite", "sctp", "icmp", "icmpv6", "protocol"];
            let problem = Problem::new(format!("`{}` is not a protocol with a `/`", head.escape_debug()))
                .hint(format!("known are {}", known.join(", ")));
            Err(problem.suggest(head, known))
        }
    }
}

fn transport(text: &str) -> Option<u8> {
    TRANSPORTS
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, protocol)| *protocol)
}

fn to_ports(protocol: u8, destination: Vec<RangeInclusive<u16>>) -> ProtocolMatch {
    ProtocolMatch::Ports {
        protocol,
        source: ranges::full(),
        destination,
    }
}

/// `name`, `type`, `type-type` or `type/code`, as a range of `type << 8 | code`.
fn icmp(
    text: &str,
    rest: &str,
    names: &'static [(&str, u8, Option<u8>)],
) -> Result<RangeInclusive<u16>, Problem> {
    if rest.starts_with(|first: char| first.is_ascii_digit()) {
        let byte = 0..=u16::from(u8::MAX);
        return match rest.split_once('/') {
            None => {
                let types = number::span(rest, "an ICMP type", &byte)?;
                Ok(*types.start() << 8..=*types.end() << 8 | 0xff)
            }
            Some((kind, code)) => {
                let kind = number::span(kind, "an ICMP type", &byte)?;
                let code = number::span(code, "an ICMP code", &byte)?;
                if kind.start() != kind.end() {
                    return Err(Problem::new(format!("`{text}` gives a code to several types")));
                }
                Ok(kind.start() << 8 | code.start()..=kind.start() << 8 | code.end())
            }
        };
    }
    match names.iter().find(|(name, ..)| *name == rest) {
        Some((_, kind, Some(code))) => Ok(message(*kind, *code)..=message(*kind, *code)),
        Some((_, kind, None)) => Ok(message(*kind, 0)..=message(*kind, u8::MAX)),
        None => Err(
            Problem::new(format!("`{}` is not a known ICMP message", rest.escape_debug()))
                .hint("write its type, or type/code, as numbers")
                .suggest(rest, names.iter().map(|(name, ..)| *name)),
        ),
    }
}

/// What a message is called: by type and code where these have a name, else by its type.
pub(crate) fn message_name(is_v6: bool, kind: u8, code: u8) -> Option<&'static str> {
    let names = if is_v6 { ICMP6_NAMES } else { ICMP4_NAMES };
    let of = |wanted: Option<u8>| {
        let mut names = names.iter();
        names.find(|(_, other, code)| *other == kind && *code == wanted)
    };
    of(Some(code)).or_else(|| of(None)).map(|(name, ..)| *name)
}

fn message(kind: u8, code: u8) -> u16 {
    u16::from_be_bytes([kind, code])
}

fn by_number(rest: &str) -> Result<ProtocolMatch, Problem> {
    let range = number::span(rest, "a protocol number", &(0..=u16::from(u8::MAX)))?;
    if range.start() != range.end() {
        return Err(Problem::new("a range of protocols cannot be named").hint("list them one by one"));
    }
    let protocol = u8::try_from(*range.start()).expect("the range ends at 255");
    match NOT_BY_NUMBER.iter().find(|(number, _)| *number == protocol) {
        Some((_, instead)) => {
            Err(Problem::new(format!("protocol {protocol} is not named by its number")).hint(*instead))
        }
        None => Ok(ProtocolMatch::Number(protocol)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol(text: &str) -> ProtocolMatch {
        match parse(text) {
            Ok(What::Protocol(protocol)) => protocol,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn ports_and_ranges() {
        assert_eq!(protocol("tcp/443"), to_ports(6, vec![443..=443]));
        assert_eq!(protocol("udp/1000-2000"), to_ports(17, vec![1000..=2000]));
        assert_eq!(protocol("sctp"), to_ports(132, vec![0..=65535]));
        assert_eq!(protocol("udplite/9"), to_ports(136, vec![9..=9]));
    }

    #[test]
    fn messages_have_the_name_that_says_the_most() {
        for (is_v6, kind, code, name) in [
            (false, 3, 4, Some("fragmentation-needed")),
            (false, 3, 9, Some("destination-unreachable")),
            (false, 13, 0, Some("timestamp-request")),
            (true, 128, 0, Some("echo-request")),
            (true, 13, 0, None),
        ] {
            assert_eq!(message_name(is_v6, kind, code), name);
        }
    }

    #[test]
    fn icmp_by_name_type_and_code() {
        assert_eq!(
            protocol("icmp/echo-request"),
            ProtocolMatch::Icmp4(vec![0x0800..=0x08ff])
        );
        assert_eq!(protocol("icmp/8"), ProtocolMatch::Icmp4(vec![0x0800..=0x08ff]));
        assert_eq!(protocol("icmp/3/4"), protocol("icmp/fragmentation-needed"));
        assert_eq!(
            protocol("icmp/13-18"),
            ProtocolMatch::Icmp4(vec![0x0d00..=0x12ff])
        );
        assert_eq!(
            protocol("icmpv6/128"),
            ProtocolMatch::Icmp6(vec![0x8000..=0x80ff])
        );
        assert_eq!(protocol("icmpv6"), ProtocolMatch::Icmp6(vec![0..=0xffff]));
    }

    #[test]
    fn other_protocols_by_number() {
        assert_eq!(protocol("protocol/112"), ProtocolMatch::Number(112));
        for text in [
            "protocol/6",
            "protocol/0",
            "protocol/256",
            "protocol/1-2",
            "protocol/tcp",
            "protocol/",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "443",
            "tcp/",
            "tcp/http",
            "TCP/80",
            "tcp/0-65535",
            "icmp/3-4/1",
            "icmp/",
            "ip/4",
            "a b",
            "tcp/80/90",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn built_in_services_are_sorted_and_can_be_read() {
        assert!(BUILT_IN.is_sorted_by_key(|(name, _)| name));
        for (name, items) in BUILT_IN {
            assert!(name::check_new(name).is_ok(), "{name}");
            for item in *items {
                protocol(item);
            }
        }
    }
}
