//! What a host needs to stay on its network: neighbour discovery, multicast listeners, DHCP; and extension headers.

use std::net::IpAddr;

use firewall_common::wire::{protocol, tcp::SYN};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{end, nets},
};

use crate::Host;

/// Router solicitation and advertisement, neighbour solicitation and advertisement (RFC 4861 4).
const DISCOVERY: [u8; 4] = [133, 134, 135, 136];

/// Hop-by-hop options: length, router alert (RFC 2711), padding.
const ROUTER_ALERT: [u8; 7] = [0, 5, 2, 0, 0, 1, 0];

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn discovery(kind: u8, from: &str, to: &str) -> Packet {
    Packet::icmp(address(from), address(to), kind, 0, [0; 4], &[0; 16]).hop_limit(255)
}

fn listener(kind: u8, from: &str) -> Packet {
    Packet::icmp(address(from), address("ff02::16"), kind, 0, [0; 4], &[0; 20])
        .hop_limit(1)
        .extension(protocol::HOP_BY_HOP, &ROUTER_ALERT)
}

#[test]
fn s36_neighbour_discovery_passes_under_default_deny() {
    let host = Host::new("");
    for kind in DISCOVERY {
        let packet = discovery(kind, "fe80::2", "ff02::1");
        assert_eq!(host.incoming(&packet), "pass neighbour-discovery", "type {kind}");
    }
    for kind in [133, 135, 136] {
        let packet = discovery(kind, "fe80::1", "fe80::2");
        assert_eq!(host.outgoing(&packet), "pass neighbour-discovery", "type {kind}");
    }
    let advertisement = discovery(134, "fe80::1", "ff02::1");
    assert_eq!(
        host.outgoing(&advertisement),
        "reject default",
        "this host is no router"
    );
}

#[test]
fn s36_duplicate_address_detection() {
    let host = Host::new("");
    assert_eq!(
        host.outgoing(&discovery(135, "::", "ff02::1:ff00:1")),
        "pass neighbour-discovery"
    );
    assert_eq!(
        host.incoming(&discovery(135, "::", "ff02::1:ff00:1")),
        "pass neighbour-discovery"
    );
    assert_eq!(
        host.incoming(&discovery(133, "::", "ff02::2")),
        "pass neighbour-discovery"
    );
    // Another host that has this host's address has to be heard.
    assert_eq!(
        host.incoming(&discovery(136, "fd00::1", "ff02::1")),
        "pass neighbour-discovery"
    );
    for kind in [134, 136] {
        assert_eq!(
            host.incoming(&discovery(kind, "::", "ff02::1")),
            "drop spoofed-source"
        );
    }
}

#[test]
fn s37_neighbour_discovery_from_beyond_the_link_is_dropped() {
    let host = Host::new("");
    for kind in DISCOVERY {
        for hop_limit in [254, 64, 0] {
            let far = discovery(kind, "fe80::2", "ff02::1").hop_limit(hop_limit);
            assert_eq!(host.incoming(&far), "drop neighbour-discovery-invalid");
        }
        let mut code = discovery(kind, "fe80::2", "ff02::1");
        code.payload[1] = 1;
        assert_eq!(host.incoming(&code), "drop neighbour-discovery-invalid");
    }
}

#[test]
fn s38_neighbour_discovery_in_a_fragment_is_dropped() {
    let host = Host::new("");
    for kind in DISCOVERY {
        for more in [true, false] {
            let piece = discovery(kind, "fe80::2", "ff02::1").piece(0, more);
            assert_eq!(
                host.incoming(&piece),
                "drop neighbour-discovery-invalid",
                "more: {more}"
            );
        }
    }
}

#[test]
fn s39_echo_request_with_identifier_0_is_blocked() {
    let [_, net] = nets();
    let host = Host::new("");
    assert_eq!(
        host.incoming(&Packet::echo_request(net.client, net.server, 0)),
        "drop default"
    );
}

#[test]
fn s40_multicast_listener_discovery() {
    let host = Host::new("");
    for kind in [130, 131, 132, 143] {
        assert_eq!(
            host.incoming(&listener(kind, "fe80::2")),
            "pass multicast-listener",
            "type {kind}"
        );
        assert_eq!(
            host.outgoing(&listener(kind, "fe80::1")),
            "pass multicast-listener",
            "type {kind}"
        );
        let far = listener(kind, "fe80::2").hop_limit(2);
        assert_eq!(host.incoming(&far), "drop multicast-listener-invalid");
        let mut no_alert = listener(kind, "fe80::2");
        no_alert.extensions.clear();
        assert_eq!(host.incoming(&no_alert), "drop multicast-listener-invalid");
        assert_eq!(
            host.incoming(&listener(kind, "fd00::2")),
            "drop multicast-listener-invalid"
        );
    }
    for report in [131, 143] {
        assert_eq!(host.incoming(&listener(report, "::")), "pass multicast-listener");
        assert_eq!(host.outgoing(&listener(report, "::")), "pass multicast-listener");
    }
    assert_eq!(
        host.incoming(&listener(130, "::")),
        "drop multicast-listener-invalid"
    );
    assert_eq!(host.incoming(&listener(132, "::")), "drop spoofed-source");
}

#[test]
fn igmp_is_its_counterpart() {
    let host = Host::new("");
    let report = |to: &str, ttl| {
        Packet::new(address("10.0.0.2"), address(to), protocol::IGMP, vec![0x22; 16])
            .hop_limit(ttl)
            .options(&[148, 4, 0, 0])
    };
    assert_eq!(host.incoming(&report("224.0.0.22", 1)), "pass multicast-listener");
    assert_eq!(host.outgoing(&report("224.0.0.22", 1)), "pass multicast-listener");
    assert_eq!(host.incoming(&report("224.0.0.22", 2)), "drop default");
    assert_eq!(host.incoming(&report("10.0.0.1", 1)), "drop default");
}

#[test]
fn s41_routing_header_of_type_0() {
    let [_, net] = nets();
    let host = Host::new("[[rule]]\nname = \"all\"\nallow = \"any\"\nfrom = \"any\"\n");
    let with_routing = |kind| {
        Packet::udp(end(net.client, 9), end(net.server, 7), 4)
            .extension(protocol::ROUTING, &[0, kind, 1, 0, 0, 0, 0])
    };
    assert_eq!(host.incoming(&with_routing(0)), "drop routing-header-0");
    assert_eq!(host.outgoing(&with_routing(0)), "drop routing-header-0");
    assert_eq!(host.incoming(&with_routing(2)), "pass rule all");
}

#[test]
fn s42_options_before_tcp_change_no_verdict() {
    let [_, net] = nets();
    let host = Host::new("[[rule]]\nname = \"web\"\nallow = \"tcp/443\"\nfrom = \"any\"\n");
    let syn = |port, client_port| {
        Packet::tcp(
            end(net.client, client_port),
            end(net.server, port),
            &Segment::new(SYN),
        )
    };
    let long = [[2u8].as_slice(), &[1, 20], &[0; 20]].concat();
    for (number, extensions) in [
        vec![(protocol::HOP_BY_HOP, &[0u8, 1, 4, 0, 0, 0, 0][..])],
        vec![(protocol::DESTINATION_OPTIONS, &[0, 1, 4, 0, 0, 0, 0])],
        vec![(protocol::DESTINATION_OPTIONS, &long)],
        vec![
            (protocol::HOP_BY_HOP, &ROUTER_ALERT),
            (protocol::DESTINATION_OPTIONS, &long),
        ],
        vec![(
            protocol::AUTHENTICATION,
            &[
                4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        )],
    ]
    .into_iter()
    .enumerate()
    {
        let client_port = 40_000 + u16::try_from(number).expect("a few");
        let (mut allowed, mut denied) = (syn(443, client_port), syn(80, client_port));
        for (header, rest) in extensions {
            allowed = allowed.extension(header, rest);
            denied = denied.extension(header, rest);
        }
        assert_eq!(host.incoming(&allowed), "pass rule web", "shape {number}");
        assert_eq!(host.incoming(&denied), "drop default", "shape {number}");
    }
}

#[test]
fn s42_hop_by_hop_stands_first_or_not_at_all() {
    let [_, net] = nets();
    let host = Host::new("[[rule]]\nname = \"all\"\nallow = \"any\"\nfrom = \"any\"\n");
    let packet = Packet::udp(end(net.client, 9), end(net.server, 7), 4)
        .extension(protocol::DESTINATION_OPTIONS, &[0, 1, 4, 0, 0, 0, 0])
        .extension(protocol::HOP_BY_HOP, &[0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(host.incoming(&packet), "drop malformed-extension");
}

#[test]
fn s42_an_extension_header_ends_inside_the_packet() {
    let [_, net] = nets();
    let host = Host::new("[[rule]]\nname = \"all\"\nallow = \"any\"\nfrom = \"any\"\n");
    let overlong = Packet::udp(end(net.client, 9), end(net.server, 7), 4)
        .extension(protocol::DESTINATION_OPTIONS, &[9, 1, 4, 0, 0, 0, 0]);
    assert_eq!(host.incoming(&overlong), "drop malformed-extension");
    let nothing_behind = Packet::new(net.client, net.server, protocol::UDP, Vec::new())
        .extension(protocol::DESTINATION_OPTIONS, &[0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(host.incoming(&nothing_behind), "drop truncated-transport");
}

#[test]
fn s43_chains_of_extension_headers_are_bounded() {
    let [_, net] = nets();
    let host = Host::new("[[rule]]\nname = \"all\"\nallow = \"any\"\nfrom = \"any\"\n");
    let chained = |headers| {
        (0..headers).fold(
            Packet::udp(end(net.client, 9), end(net.server, 7), 4),
            |packet, _| packet.extension(protocol::AUTHENTICATION, &[1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
        )
    };
    assert_eq!(host.incoming(&chained(8)), "pass rule all");
    for headers in [9, 20, 60] {
        assert_eq!(
            host.incoming(&chained(headers)),
            "drop extension-depth",
            "{headers}"
        );
    }
}

#[test]
fn no_next_header_is_a_protocol_like_any_other() {
    let [_, net] = nets();
    let packet = Packet::new(net.client, net.server, protocol::NO_NEXT, Vec::new());
    assert_eq!(Host::new("").incoming(&packet), "drop default");
}

#[test]
fn s48_dhcp_of_this_host() {
    let host = Host::new("");
    let udp =
        |from: &str, to: &str| Packet::udp(from.parse().expect("an end"), to.parse().expect("an end"), 240);
    for (outgoing, incoming) in [
        (
            udp("0.0.0.0:68", "255.255.255.255:67"),
            udp("10.0.0.4:67", "255.255.255.255:68"),
        ),
        (
            udp("10.0.0.1:68", "10.0.0.4:67"),
            udp("10.0.0.4:67", "10.0.0.1:68"),
        ),
        (
            udp("[fe80::1]:546", "[ff02::1:2]:547"),
            udp("[fe80::4]:547", "[fe80::1]:546"),
        ),
    ] {
        assert_eq!(host.outgoing(&outgoing), "pass failsafe-dhcp");
        assert_eq!(host.incoming(&incoming), "pass failsafe-dhcp");
    }
    assert_eq!(
        host.incoming(&udp("[fd00::4]:547", "[fe80::1]:546")),
        "drop default"
    );
    assert_eq!(
        host.incoming(&udp("10.0.0.4:68", "10.0.0.1:67")),
        "drop default",
        "no server here"
    );
    assert_eq!(host.incoming(&udp("10.0.0.4:67", "10.0.0.1:69")), "drop default");
    assert_eq!(
        host.outgoing(&udp("10.0.0.1:67", "10.0.0.4:68")),
        "reject default"
    );
}
