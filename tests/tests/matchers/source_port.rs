//! The source port.

use crate::{
    matcher::Matcher,
    probe::{Payload, Probe, both_families},
};

fn from(payload: Payload, ports: &[u16]) -> Vec<Probe> {
    let each = ports.iter();
    each.flat_map(|port| both_families(|remote| Probe::new(remote, payload).source(*port)))
        .collect()
}

#[test]
fn a_single_source_port() {
    for (payload, rule) in [
        (
            Payload::Tcp,
            "VERDICT = \"tcp/443\"\nfrom_port = 123\nWHO = \"any\"",
        ),
        (
            Payload::Udp,
            "VERDICT = \"udp/443\"\nfrom_port = 123\nWHO = \"any\"",
        ),
        (
            Payload::UdpLite,
            "VERDICT = \"udplite/443\"\nfrom_port = 123\nWHO = \"any\"",
        ),
        (
            Payload::Sctp,
            "VERDICT = \"sctp/443\"\nfrom_port = 123\nWHO = \"any\"",
        ),
    ] {
        let mut misses = from(payload, &[122, 124, 443]);
        misses.extend(both_families(|remote| {
            Probe::new(remote, payload).source(123).destination(123)
        }));
        Matcher {
            rule,
            hits: from(payload, &[123]),
            misses,
        }
        .check();
    }
}

#[test]
fn ranges_and_sets_of_source_ports() {
    Matcher {
        rule: "VERDICT = \"udp/443\"\nfrom_port = [67, \"1024-65535\"]\nWHO = \"any\"",
        hits: from(Payload::Udp, &[67, 1024, 65_535]),
        misses: from(Payload::Udp, &[0, 66, 68, 1023]),
    }
    .check();
}
