//! The answers to rejected packets, as they leave the programs: with their link-level headers, tags and checksums.

use std::net::IpAddr;

use etherparse::{Icmpv4Type, Icmpv6Type, SlicedPacket, TransportSlice};
use firewall_common::{
    counters::Hook,
    wire::tcp::{ACK, FIN, RST, SYN},
};
use firewall_tests::{
    bench::{Action, Ran},
    engine::Interface,
    frames::{Packet, Piece, Segment},
    host::{Net, end, nets},
};

use crate::Host;

const RULES: &str = r#"
[[rule]]
name = "no-entry"
reject = ["tcp", "udp", "ping", "protocol/99"]
from = "any"

[[rule]]
name = "no-exit"
reject = ["tcp", "udp", "ping", "protocol/99"]
to = "any"
"#;

/// No tag, one, and two.
const TAGS: [&[u16]; 3] = [&[], &[10], &[20, 10]];

const HOOKS: [Hook; 2] = [Hook::Ingress, Hook::Egress];

/// Sender and receiver of a packet at a hook.
fn ends(net: Net, hook: Hook) -> (IpAddr, IpAddr) {
    match hook {
        Hook::Ingress => (net.client, net.server),
        Hook::Egress => (net.server, net.client),
    }
}

fn run(host: &Host, frame: &[u8], hook: Hook) -> Ran {
    let ran = host.engine.run(frame, Interface::Eth0, hook, host.after(0));
    assert_eq!(
        host.frame(frame, hook).split(' ').next(),
        Some("reject"),
        "{ran:?}"
    );
    ran
}

/// The answer to a frame, whose ends are those of the frame, the other way round, and whose tags are the same.
fn answer(host: &Host, frame: &[u8], hook: Hook, tags: &[u16]) -> Vec<u8> {
    let ran = run(host, frame, hook);
    assert_eq!(ran.action, Action::Answer, "{tags:?} {hook:?}");
    assert_eq!(ran.frame[..6], frame[6..12], "it goes to the sender");
    assert_eq!(ran.frame[6..12], frame[..6], "it comes from the receiver");
    let types = 12..14 + tags.len() * 4;
    assert_eq!(ran.frame[types.clone()], frame[types], "tags and type");
    ran.frame
}

fn addresses(sliced: &SlicedPacket<'_>) -> (IpAddr, IpAddr) {
    match sliced.net.as_ref().expect("an IP packet") {
        etherparse::NetSlice::Ipv4(v4) => {
            let header = v4.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            (header.source.into(), header.destination.into())
        }
        etherparse::NetSlice::Ipv6(v6) => {
            let header = v6.header();
            (header.source_addr().into(), header.destination_addr().into())
        }
        etherparse::NetSlice::Arp(other) => panic!("no IP: {other:?}"),
    }
}

#[test]
fn s02_a_rejected_segment_is_reset() {
    for net in nets() {
        for (hook, tags) in HOOKS.into_iter().flat_map(|hook| TAGS.map(|tags| (hook, tags))) {
            let host = Host::new(RULES);
            let (sender, receiver) = ends(net, hook);
            let syn = Segment::new(SYN).sequence(7000).data(5);
            let frame = Packet::tcp(end(sender, 40_000), end(receiver, 23), &syn).tagged(tags);
            let reset = answer(&host, &frame, hook, tags);
            let sliced = SlicedPacket::from_ethernet(&reset).expect("a whole packet");
            assert_eq!(addresses(&sliced), (receiver, sender));
            let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
                panic!("no TCP: {sliced:?}");
            };
            assert_eq!((tcp.source_port(), tcp.destination_port()), (23, 40_000));
            assert!(tcp.rst() && tcp.ack() && !tcp.syn());
            assert_eq!(
                (tcp.sequence_number(), tcp.acknowledgment_number()),
                (0, 7006),
                "SYN and data"
            );
            let header = tcp.to_header();
            let checksum = match sliced.net.as_ref().expect("an IP packet") {
                etherparse::NetSlice::Ipv4(v4) => {
                    header.calc_checksum_ipv4(&v4.header().to_header(), tcp.payload())
                }
                etherparse::NetSlice::Ipv6(v6) => {
                    header.calc_checksum_ipv6(&v6.header().to_header(), tcp.payload())
                }
                etherparse::NetSlice::Arp(_) => panic!("no IP"),
            };
            assert_eq!(Ok(header.checksum), checksum);
        }
    }
}

#[test]
fn s02_a_rejected_datagram_is_unreachable() {
    for net in nets() {
        for (hook, tags) in HOOKS.into_iter().flat_map(|hook| TAGS.map(|tags| (hook, tags))) {
            let (sender, receiver) = ends(net, hook);
            let datagram = Packet::udp(end(sender, 40_000), end(receiver, 69), 100);
            let other = Packet::new(sender, receiver, 99, vec![0; 40]);
            for (packet, v4, v6) in [(datagram, 3, 4), (other, 13, 1)] {
                let host = Host::new(RULES);
                let error = answer(&host, &packet.tagged(tags), hook, tags);
                let sliced = SlicedPacket::from_ethernet(&error).expect("a whole packet");
                assert_eq!(addresses(&sliced), (receiver, sender));
                let quoted = match &sliced.transport {
                    Some(TransportSlice::Icmpv4(icmp)) => {
                        assert_eq!((icmp.type_u8(), icmp.code_u8()), (3, v4));
                        let header = icmp.header();
                        let Icmpv4Type::DestinationUnreachable(_) = header.icmp_type else {
                            panic!("{header:?}");
                        };
                        assert_eq!(header.icmp_type.calc_checksum(icmp.payload()), icmp.checksum());
                        icmp.payload()
                    }
                    Some(TransportSlice::Icmpv6(icmp)) => {
                        assert_eq!((icmp.type_u8(), icmp.code_u8()), (1, v6));
                        let header = icmp.header();
                        let Icmpv6Type::DestinationUnreachable(_) = header.icmp_type else {
                            panic!("{header:?}");
                        };
                        let (IpAddr::V6(from), IpAddr::V6(to)) = (receiver, sender) else {
                            panic!("ICMPv6 over IPv4");
                        };
                        let checksum =
                            header
                                .icmp_type
                                .calc_checksum(from.octets(), to.octets(), icmp.payload());
                        assert_eq!(
                            checksum,
                            Ok(icmp.slice()[2..4].try_into().map_or(0, u16::from_be_bytes))
                        );
                        icmp.payload()
                    }
                    other => panic!("no ICMP: {other:?}"),
                };
                assert!(packet.ip().starts_with(quoted), "it quotes the packet's head");
                assert!(quoted.len() >= 28, "the header and eight bytes: {}", quoted.len());
            }
        }
    }
}

/// RFC 1122 3.2.2, RFC 4443 2.4.
#[test]
fn s02_what_must_not_be_answered_is_only_dropped() {
    for net in nets() {
        let host = Host::new(RULES);
        for hook in HOOKS {
            let (sender, receiver) = ends(net, hook);
            let multicast: IpAddr = match receiver {
                IpAddr::V4(_) => "224.0.0.200".parse().unwrap(),
                IpAddr::V6(_) => "ff02::200".parse().unwrap(),
            };
            let mut first = Packet::udp(end(sender, 1), end(receiver, 2), 64);
            first.piece = Some(Piece { units: 0, more: true });
            for packet in [Packet::udp(end(sender, 1), end(multicast, 2), 20), first] {
                assert_eq!(
                    run(&host, &packet.frame(), hook).action,
                    Action::Drop,
                    "{packet:?}"
                );
            }
            for flags in [RST, RST | ACK] {
                let reset = Packet::tcp(end(sender, 1), end(receiver, 2), &Segment::new(flags));
                let ran = host
                    .engine
                    .run(&reset.frame(), Interface::Eth0, hook, host.after(0));
                assert_eq!(ran.action, Action::Drop);
            }
            let fin = Packet::tcp(end(sender, 1), end(receiver, 2), &Segment::new(FIN | ACK));
            let ran = host
                .engine
                .run(&fin.frame(), Interface::Eth0, hook, host.after(0));
            assert_eq!(ran.action, Action::Drop, "without a flow nothing is known of it");
        }
    }
}

#[test]
fn answers_to_one_source_are_bounded_and_another_has_its_own() {
    for net in nets() {
        let mut host = Host::new(RULES);
        let answers = |host: &Host, source: IpAddr, most: u16| {
            (0..most)
                .map(|port| Packet::udp(end(source, 1000 + port), end(net.server, 69), 20))
                .filter(|packet| run(host, &packet.frame(), Hook::Ingress).action == Action::Answer)
                .count()
        };
        let first = answers(&host, net.client, 100);
        assert!((5..=60).contains(&first), "{first} answers");
        assert_eq!(answers(&host, net.client, 20), 0, "the budget is used up");
        assert!(answers(&host, net.other, 1) > 0, "of that source only");
        host.wait(3);
        assert!(answers(&host, net.client, 1) > 0, "for about a second");
    }
}
