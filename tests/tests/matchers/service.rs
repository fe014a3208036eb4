//! Services that are known by name.

use crate::{
    matcher::Matcher,
    probe::{Payload, Probe, both_families},
};

fn ports(payload: Payload, ports: &[u16]) -> Vec<Probe> {
    let each = ports.iter();
    each.flat_map(|port| both_families(|remote| Probe::new(remote, payload).destination(*port)))
        .collect()
}

#[test]
fn a_service_of_two_protocols() {
    Matcher {
        rule: "VERDICT = \"dns\"\nWHO = \"any\"",
        hits: [ports(Payload::Tcp, &[53]), ports(Payload::Udp, &[53])].concat(),
        misses: [
            ports(Payload::Tcp, &[52, 54]),
            ports(Payload::Udp, &[853]),
            ports(Payload::Sctp, &[53]),
        ]
        .concat(),
    }
    .check();
}

#[test]
fn a_service_of_several_ports() {
    Matcher {
        rule: "VERDICT = \"galera\"\nWHO = [\"10.0.0.2\", \"fd00::2\"]",
        hits: [
            ports(Payload::Tcp, &[4567, 4568, 4444]),
            ports(Payload::Udp, &[4567]),
        ]
        .concat(),
        misses: [
            ports(Payload::Udp, &[4568, 4444]),
            ports(Payload::Tcp, &[4566, 4569, 4445]),
        ]
        .concat(),
    }
    .check();
}
