//! The protocol, by name and by number.

use crate::{
    matcher::Matcher,
    probe::{Payload, Probe, both_families},
};

fn protocols(payloads: &[Payload]) -> Vec<Probe> {
    let each = payloads.iter();
    each.flat_map(|payload| both_families(|remote| Probe::new(remote, *payload)))
        .collect()
}

#[test]
fn a_protocol_by_its_number() {
    Matcher {
        rule: "VERDICT = \"protocol/112\"\nWHO = \"any\"",
        hits: protocols(&[Payload::Protocol(112)]),
        misses: protocols(&[
            Payload::Protocol(111),
            Payload::Protocol(113),
            Payload::Tcp,
            Payload::Udp,
        ]),
    }
    .check();
}

#[test]
fn protocols_by_name() {
    Matcher {
        rule: "VERDICT = [\"gre\", \"esp\", \"ospf\"]\nWHO = \"any\"",
        hits: protocols(&[47, 50, 89].map(Payload::Protocol)),
        misses: protocols(&[46, 48, 49, 88, 90].map(Payload::Protocol)),
    }
    .check();
}

#[test]
fn the_highest_number_is_no_wildcard() {
    Matcher {
        rule: "VERDICT = \"protocol/255\"\nWHO = \"any\"",
        hits: protocols(&[Payload::Protocol(255)]),
        misses: protocols(&[Payload::Protocol(254), Payload::Tcp]),
    }
    .check();
}

#[test]
fn any_protocol_is_every_protocol() {
    Matcher {
        rule: "VERDICT = \"any\"\nWHO = [\"10.0.0.2\", \"fd00::2\"]",
        hits: protocols(&[
            Payload::Tcp,
            Payload::Udp,
            Payload::UdpLite,
            Payload::Sctp,
            Payload::Protocol(47),
            Payload::Protocol(253),
        ]),
        misses: ["10.0.0.3", "fd00::3"].map(Probe::with).into(),
    }
    .check();
}
