//! Frames that no honest stack sends, sources that cannot come from the wire, and frames that are not IP.

use std::net::IpAddr;

use firewall_common::{
    counters::Hook,
    wire::{ethernet, protocol, tcp::SYN},
};
use firewall_tests::{
    engine::{Engine, Interface},
    frames::{Packet, Segment, frame},
    host::{Net, end, nets},
};

use crate::Host;

const EVERYTHING: &str = r#"
[[rule]]
name = "all"
allow = "any"
from = "any"
"#;

fn syn(net: Net) -> Packet {
    Packet::tcp(end(net.client, 40_000), end(net.server, 443), &Segment::new(SYN))
}

fn udp(net: Net) -> Packet {
    Packet::udp(end(net.client, 40_000), end(net.server, 53), 8)
}

/// What becomes of the IP packet whose byte at `place` is `value`.
fn with_byte(packet: &Packet, place: usize, value: u8) -> String {
    let mut bytes = packet.frame();
    bytes[14 + place] = value;
    Host::new(EVERYTHING).frame(&bytes, Hook::Ingress)
}

#[test]
fn the_packets_are_right_before_they_are_damaged() {
    for net in nets() {
        assert_eq!(Host::new(EVERYTHING).incoming(&syn(net)), "pass rule all");
        assert_eq!(Host::new(EVERYTHING).incoming(&udp(net)), "pass rule all");
    }
}

#[test]
fn s19_data_offset_outside_the_segment() {
    for net in nets() {
        let header_bytes = if net.server.is_ipv4() { 20 } else { 40 };
        for words in [0, 4, 6, 15] {
            let verdict = with_byte(&syn(net), header_bytes + 12, words << 4);
            assert_eq!(verdict, "drop malformed-transport", "{words} words");
        }
        for bytes in [0, 7, 8, 19] {
            let verdict = Host::new(EVERYTHING).incoming(&syn(net).cut(bytes));
            assert_eq!(verdict, "drop truncated-transport", "{bytes} bytes");
        }
    }
}

#[test]
fn s54_contradicting_ipv4_headers() {
    let [net, _] = nets();
    for (place, value, reason) in [
        (0, 0x44, "malformed-ip"),      // a header of 16 bytes
        (0, 0x40, "malformed-ip"),      // of none
        (0, 0x65, "malformed-ip"),      // version 6
        (0, 0x4f, "malformed-ip"),      // longer than the packet
        (2, 0x01, "malformed-ip"),      // longer than the frame
        (3, 19, "malformed-ip"),        // shorter than its header
        (3, 20, "truncated-transport"), // no room for TCP
    ] {
        assert_eq!(
            with_byte(&syn(net), place, value),
            format!("drop {reason}"),
            "{place}: {value:#x}"
        );
    }
}

#[test]
fn s54_contradicting_ipv6_headers() {
    let [_, net] = nets();
    for (place, value, reason) in [
        (0, 0x45, "malformed-ip"),
        (4, 0x01, "malformed-ip"),
        (5, 0, "truncated-transport"),
        (5, 19, "truncated-transport"),
    ] {
        assert_eq!(
            with_byte(&syn(net), place, value),
            format!("drop {reason}"),
            "{place}: {value:#x}"
        );
    }
}

#[test]
fn s54_frames_cut_anywhere_are_dropped_and_padding_passes() {
    let host = Host::new(EVERYTHING);
    for net in nets() {
        let whole = syn(net).frame();
        let is_taken = |bytes: &usize| host.engine.takes(&whole[..*bytes], Hook::Ingress);
        for bytes in (0..whole.len()).filter(is_taken) {
            let verdict = host.frame(&whole[..bytes], Hook::Ingress);
            let expected = match bytes {
                0..14 => "drop truncated-ethernet",
                _ if bytes < 14 + if net.server.is_ipv4() { 20 } else { 40 } => "drop truncated-ip",
                _ => "drop malformed-ip",
            };
            assert_eq!(verdict, expected, "{bytes} bytes");
        }
        let padded = [whole, vec![0; 6]].concat();
        assert_eq!(host.frame(&padded, Hook::Ingress), "pass rule all");
    }
}

#[test]
fn s54_transports_cut_short() {
    let host = Host::new(EVERYTHING);
    for net in nets() {
        assert_eq!(host.incoming(&udp(net).cut(0)), "drop truncated-transport");
        assert_eq!(host.incoming(&udp(net).cut(7)), "drop truncated-transport");
        let echo = Packet::echo_request(net.client, net.server, 1);
        assert_eq!(host.incoming(&echo.cut(7)), "drop truncated-transport");
        let sctp = Packet::new(net.client, net.server, protocol::SCTP, vec![1; 12]);
        assert_eq!(host.incoming(&sctp), "pass rule all");
        assert_eq!(host.incoming(&sctp.cut(11)), "drop truncated-transport");
    }
}

#[test]
fn s54_udp_lengths() {
    let host = Host::new(EVERYTHING);
    for net in nets() {
        for (length, verdict) in [
            (0u8, "drop malformed-transport"),
            (7, "drop malformed-transport"),
            (8, "pass rule all"),
            (16, "pass rule all"),
            (17, "drop malformed-transport"),
        ] {
            let mut packet = Packet::udp(end(net.client, 1000 + u16::from(length)), end(net.server, 53), 8);
            packet.payload[5] = length;
            assert_eq!(host.incoming(&packet), verdict, "length {length}");
        }
        for (coverage, verdict) in [
            (0u8, "pass rule all"),
            (8, "pass rule all"),
            (7, "drop malformed-transport"),
        ] {
            let mut lite = Packet::udp_lite(
                end(net.client, 1000 + u16::from(coverage)),
                end(net.server, 53),
                8,
            );
            lite.payload[5] = coverage;
            assert_eq!(host.incoming(&lite), verdict, "coverage {coverage}");
        }
    }
}

#[test]
fn s55_ports_are_read_behind_the_options() {
    let [net, _] = nets();
    for bytes in [4, 8, 20, 40] {
        let host = Host::new("[[rule]]\nname = \"web\"\nallow = \"tcp/443\"\nfrom = \"any\"\n");
        assert_eq!(
            host.incoming(&syn(net).options(&vec![1; bytes])),
            "pass rule web",
            "{bytes}"
        );
        // A parser that assumes 20 bytes would take these for ports 1 and 443.
        let mut decoy = vec![0, 1, 0x01, 0xbb];
        decoy.resize(bytes, 0);
        let to_80 = Packet::tcp(end(net.client, 9), end(net.server, 80), &Segment::new(SYN));
        assert_eq!(host.incoming(&to_80.options(&decoy)), "drop default", "{bytes}");
    }
}

#[test]
fn s55_source_routing() {
    let [net, _] = nets();
    let loose = [131, 7, 4, 10, 0, 0, 7, 0];
    let strict = [137, 7, 4, 10, 0, 0, 7, 0];
    let behind_others = [1, 7, 7, 4, 0, 0, 0, 0, 131, 3, 4, 0];
    let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
    let host = Host::new(EVERYTHING);
    for options in [&loose[..], &strict, &behind_others] {
        assert_eq!(
            host.incoming(&syn(net).options(options)),
            "drop source-routing",
            "{options:?}"
        );
        assert_eq!(host.outgoing(&syn(net).options(options)), "drop source-routing");
    }
    assert_eq!(host.incoming(&syn(net).options(&record_route)), "pass rule all");
    let host = Host::new(&format!("[options]\nallow_source_routing = true\n{EVERYTHING}"));
    assert_eq!(host.incoming(&syn(net).options(&loose)), "pass rule all");
}

#[test]
fn s55_source_routing_on_a_live_flow() {
    let [net, _] = nets();
    let host = Host::new(EVERYTHING);
    assert_eq!(host.incoming(&udp(net)), "pass rule all");
    let reply = Packet::udp(end(net.server, 53), end(net.client, 40_000), 8);
    assert_eq!(host.outgoing(&reply), "pass flow all");
    assert_eq!(host.incoming(&udp(net)), "pass flow all");
    let routed = udp(net).options(&[131, 7, 4, 10, 0, 0, 7, 0]);
    assert_eq!(host.incoming(&routed), "drop source-routing");
}

#[test]
fn s55_options_that_cannot_be_parsed() {
    let [net, _] = nets();
    let host = Host::new(EVERYTHING);
    for options in [
        &[7, 0, 0, 0][..],
        &[7, 1, 0, 0],
        &[7, 9, 0, 0],
        &[1, 1, 1, 7],
        &[1, 1, 1, 131],
    ] {
        let verdict = host.incoming(&syn(net).options(options));
        let expected = if options[3] == 131 {
            "drop source-routing"
        } else {
            "drop malformed-option"
        };
        assert_eq!(verdict, expected, "{options:?}");
    }
    // What follows the end of the options is not looked at.
    assert_eq!(host.incoming(&syn(net).options(&[0, 131, 7, 9])), "pass rule all");
}

#[test]
fn s56_sources_that_cannot_come_from_the_wire() {
    let host = Host::new(EVERYTHING);
    let [v4, v6] = nets();
    for (net, source, reason) in [
        (v4, "127.0.0.1", "spoofed-source"),
        (v4, "127.255.0.1", "spoofed-source"),
        (v4, "224.0.0.1", "spoofed-source"),
        (v4, "239.255.255.255", "spoofed-source"),
        (v4, "255.255.255.255", "spoofed-source"),
        (v4, "0.0.0.0", "spoofed-source"),
        (v4, "10.0.0.1", "spoofed-own"),
        (v6, "::1", "spoofed-source"),
        (v6, "::", "spoofed-source"),
        (v6, "ff02::1", "spoofed-source"),
        (v6, "::ffff:10.0.0.2", "spoofed-source"),
        (v6, "fd00::1", "spoofed-own"),
    ] {
        let source: IpAddr = source.parse().expect("an address");
        for to in [net.server, net.other] {
            let packet = Packet::udp(end(source, 9), end(to, 9), 8);
            assert_eq!(
                host.incoming(&packet),
                format!("drop {reason}"),
                "{source} to {to}"
            );
            let syn = Packet::tcp(end(source, 9), end(to, 22), &Segment::new(SYN));
            assert_eq!(host.incoming(&syn), format!("drop {reason}"), "{source} to {to}");
        }
    }
    for (net, source) in [
        (v4, "126.255.255.255"),
        (v4, "128.0.0.0"),
        (v4, "223.255.255.255"),
        (v6, "::2"),
        (v6, "2001:db8::1"),
    ] {
        let packet = Packet::udp(end(source.parse().expect("an address"), 9), end(net.server, 9), 8);
        assert_eq!(host.incoming(&packet), "pass rule all", "{source}");
    }
}

#[test]
fn s56_the_failsafe_lets_in_no_spoofed_source() {
    for net in nets() {
        let mut host = Host::new("");
        let login = Packet::tcp(end(net.manager, 9), end(net.server, 22), &Segment::new(SYN));
        assert_eq!(host.incoming(&login), "pass failsafe-management");
        host.engine.add_local(net.manager);
        assert_eq!(host.incoming(&login), "drop spoofed-own");
    }
}

#[test]
fn s56_destinations_that_cannot_be_on_the_wire() {
    let host = Host::new(EVERYTHING);
    for (from, to) in [
        ("10.0.0.2", "127.0.0.1"),
        ("10.0.0.2", "0.0.0.0"),
        ("fd00::2", "::1"),
        ("fd00::2", "::"),
    ] {
        let (from, to): (IpAddr, IpAddr) =
            (from.parse().expect("an address"), to.parse().expect("an address"));
        assert_eq!(
            host.incoming(&Packet::udp(end(from, 9), end(to, 9), 8)),
            "drop martian-destination"
        );
    }
}

#[test]
fn s58_tagged_frames_have_the_verdict_of_untagged_ones() {
    for net in nets() {
        for tags in [&[][..], &[10], &[10, 20], &[0]] {
            let host = Host::new("[[rule]]\nname = \"web\"\nallow = \"tcp/443\"\nfrom = \"any\"\n");
            let denied = Packet::tcp(end(net.client, 9), end(net.server, 80), &Segment::new(SYN));
            assert_eq!(
                host.frame(&syn(net).tagged(tags), Hook::Ingress),
                "pass rule web",
                "{tags:?}"
            );
            assert_eq!(
                host.frame(&denied.tagged(tags), Hook::Ingress),
                "drop default",
                "{tags:?}"
            );
        }
        let host = Host::new(EVERYTHING);
        assert_eq!(
            host.frame(&syn(net).tagged(&[1, 2, 3]), Hook::Ingress),
            "drop vlan-depth"
        );
        let cut = &syn(net).tagged(&[1, 2])[..20];
        assert_eq!(host.frame(cut, Hook::Ingress), "drop truncated-ethernet");
    }
}

#[test]
fn s58_a_rule_that_names_a_vlan_means_the_outermost_tag() {
    for net in nets() {
        let host =
            || Host::new("[[rule]]\nname = \"inside\"\nallow = \"tcp/443\"\nfrom = \"any\"\nvlan = [10]\n");
        for (tags, expected) in [
            (&[10][..], "pass rule inside"),
            (&[10, 20], "pass rule inside"),
            (&[20, 10], "drop default"),
            (&[11], "drop default"),
            (&[9], "drop default"),
            (&[], "drop default"),
        ] {
            assert_eq!(
                host().frame(&syn(net).tagged(tags), Hook::Ingress),
                expected,
                "{tags:?}"
            );
        }
        // Priority and drop eligibility are no part of the identifier (802.1Q 9.6).
        let mut with_priority = syn(net).tagged(&[10]);
        with_priority[14] |= 0xf0;
        assert_eq!(host().frame(&with_priority, Hook::Ingress), "pass rule inside");
    }
}

#[test]
fn s59_link_level_protocols() {
    let host = Host::new("");
    for (ether_type, verdict) in [
        (ethernet::ARP, "pass link-protocol"),
        (ethernet::SLOW, "pass link-protocol"),
        (ethernet::LLDP, "pass link-protocol"),
        (ethernet::EAPOL, "pass link-protocol"),
        (38, "pass link-protocol"), // an LLC length: spanning tree
        (1500, "pass link-protocol"),
        (1501, "drop ether-type"),
        (0x88f7, "drop ether-type"),
        (0x8035, "drop ether-type"),
    ] {
        for hook in [Hook::Ingress, Hook::Egress] {
            assert_eq!(
                host.frame(&frame(&[], ether_type, &[0; 46]), hook),
                verdict,
                "{ether_type:#x}"
            );
        }
        assert_eq!(
            host.frame(&frame(&[7], ether_type, &[0; 46]), Hook::Ingress),
            verdict
        );
    }
}

#[test]
fn s59_further_ether_types_by_policy() {
    let host = Host::new("[options]\nallowed_ether_types = [0x88f7]\n");
    assert_eq!(
        host.frame(&frame(&[], 0x88f7, &[0; 46]), Hook::Ingress),
        "pass link-protocol"
    );
    assert_eq!(
        host.frame(&frame(&[], 0x88f8, &[0; 46]), Hook::Ingress),
        "drop ether-type"
    );
}

#[test]
fn devices_without_a_link_level_header() {
    let host = Host::new(EVERYTHING);
    let judge = |bytes: &[u8]| host.frame_on(Interface::Tunnel, bytes, Hook::Ingress);
    for net in nets() {
        assert_eq!(judge(&syn(net).ip()), "pass rule all");
        assert_eq!(
            judge(&syn(net).frame()),
            "drop malformed-ip",
            "it begins with the IP header"
        );
    }
    let is_taken = |bytes: &usize| host.engine.takes(&[0x45; 20][..*bytes], Hook::Ingress);
    for bytes in [0, 1, 14, 19].into_iter().filter(is_taken) {
        assert_eq!(judge(&[0x45; 20][..bytes]), "drop truncated-ip", "{bytes} bytes");
    }
    assert_eq!(judge(&[0x50; 40]), "drop malformed-ip");
}
