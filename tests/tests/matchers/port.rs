//! The destination port, of the four protocols that have ports.

use crate::{
    matcher::Matcher,
    probe::{Payload, Probe, both_families},
};

const WITH_PORTS: [(Payload, &str); 4] = [
    (Payload::Tcp, "tcp"),
    (Payload::Udp, "udp"),
    (Payload::UdpLite, "udplite"),
    (Payload::Sctp, "sctp"),
];

fn ports(payload: Payload, ports: &[u16]) -> Vec<Probe> {
    let each = ports.iter();
    each.flat_map(|port| both_families(|remote| Probe::new(remote, payload).destination(*port)))
        .collect()
}

/// One rule for each protocol; the same ports of the other protocols are beside it.
fn check(what: &str, hits: &[u16], misses: &[u16]) {
    for (payload, name) in WITH_PORTS {
        let rule = format!("VERDICT = {}\nWHO = \"any\"", what.replace("PROTOCOL", name));
        let others = WITH_PORTS.into_iter().filter(|(other, _)| *other != payload);
        let mut beside = ports(payload, misses);
        beside.extend(others.flat_map(|(other, _)| ports(other, &hits[..1])));
        Matcher {
            rule: rule.leak(),
            hits: ports(payload, hits),
            misses: beside,
        }
        .check();
    }
}

#[test]
fn s70_a_single_port() {
    check("\"PROTOCOL/443\"", &[443], &[0, 442, 444, 65_535]);
}

#[test]
fn s70_a_range_of_ports() {
    check("\"PROTOCOL/1000-2000\"", &[1000, 1001, 1999, 2000], &[999, 2001]);
}

#[test]
fn s70_a_set_of_ports() {
    check(
        "[\"PROTOCOL/80\", \"PROTOCOL/443\", \"PROTOCOL/8000-8080\", \"PROTOCOL/65535\"]",
        &[80, 443, 8000, 8080, 65_535],
        &[79, 81, 442, 444, 7999, 8081, 65_534],
    );
}

#[test]
fn s70_every_port() {
    for (payload, name) in WITH_PORTS {
        let others = WITH_PORTS.into_iter().filter(|(other, _)| *other != payload);
        Matcher {
            rule: format!("VERDICT = \"{name}\"\nWHO = \"any\"").leak(),
            hits: ports(payload, &[0, 1, 65_535]),
            misses: others.flat_map(|(other, _)| ports(other, &[1])).collect(),
        }
        .check();
    }
}

#[test]
fn a_source_port_is_no_destination_port() {
    Matcher {
        rule: "VERDICT = \"tcp/443\"\nWHO = \"any\"",
        hits: both_families(|remote| Probe::with(remote).source(80)),
        misses: both_families(|remote| Probe::with(remote).source(443).destination(80)),
    }
    .check();
}
