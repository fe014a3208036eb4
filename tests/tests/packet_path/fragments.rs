//! Fragments: the first piece's verdict holds for the others; nothing is delivered without a first that was judged.

use firewall_common::{
    fragment::ORPHANS_PER_SOURCE,
    wire::tcp::{ACK, SYN},
};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{Net, end, nets},
};

use crate::Host;

const RULES: &str = r#"
[[rule]]
name = "serve"
allow = ["udp/7000", "tcp/443", "ping"]
from = "any"

[[rule]]
name = "out"
allow = "udp/7001"
to = "any"
"#;

fn datagram(net: Net, port: u16, identification: u16) -> Packet {
    Packet::udp(end(net.client, 40_000), end(net.server, port), 4500).identification(identification)
}

#[test]
fn s49_pieces_in_order() {
    for net in nets() {
        let host = Host::new(RULES);
        let pieces = datagram(net, 7000, 1).fragments(1480);
        assert_eq!(pieces.len(), 4);
        assert_eq!(host.incoming(&pieces[0]), "pass rule serve");
        for piece in &pieces[1..] {
            assert_eq!(host.incoming(piece), "pass fragment");
        }
    }
}

#[test]
fn s49_pieces_in_reverse_order() {
    for net in nets() {
        let host = Host::new(RULES);
        for piece in datagram(net, 7000, 1).fragments(1480).iter().skip(1).rev() {
            assert_eq!(host.incoming(piece), "pass fragment-early");
        }
        assert_eq!(
            host.incoming(&datagram(net, 7000, 1).fragments(1480)[0]),
            "pass rule serve"
        );
    }
}

#[test]
fn s49_pieces_of_two_datagrams_interleaved() {
    for net in nets() {
        let host = Host::new(RULES);
        let allowed = datagram(net, 7000, 1).fragments(1480);
        let denied = datagram(net, 9999, 2).fragments(1480);
        for (at, (allowed, denied)) in allowed.iter().zip(&denied).enumerate() {
            let first = at == 0;
            assert_eq!(
                host.incoming(allowed),
                if first { "pass rule serve" } else { "pass fragment" }
            );
            assert_eq!(
                host.incoming(denied),
                if first {
                    "drop default"
                } else {
                    "drop fragment-denied"
                }
            );
        }
    }
}

#[test]
fn s49_large_echo_and_large_outgoing_datagrams() {
    for net in nets() {
        let host = Host::new(RULES);
        let mut echo = Packet::echo_request(net.client, net.server, 3);
        echo.payload.resize(2008, 0);
        let pieces = echo.fragments(1480);
        assert_eq!(host.incoming(&pieces[0]), "pass rule serve");
        assert_eq!(host.incoming(&pieces[1]), "pass fragment");

        let out = Packet::udp(end(net.server, 9), end(net.client, 7001), 60_000).fragments(1480);
        assert_eq!(host.outgoing(&out[0]), "pass rule out");
        for piece in &out[1..] {
            assert_eq!(host.outgoing(piece), "pass fragment");
        }
    }
}

#[test]
fn s49_the_hooks_do_not_share_verdicts() {
    for net in nets() {
        let host = Host::new(RULES);
        let pieces = datagram(net, 7000, 1).fragments(1480);
        assert_eq!(host.incoming(&pieces[0]), "pass rule serve");
        assert_eq!(host.outgoing(&pieces[1]), "pass fragment-early");
    }
}

#[test]
fn s50_denied_datagram_with_its_first_piece_last() {
    for net in nets() {
        let host = Host::new(RULES);
        let pieces = datagram(net, 9999, 1).fragments(1480);
        for piece in pieces.iter().skip(1) {
            assert_eq!(host.incoming(piece), "pass fragment-early");
        }
        assert_eq!(
            host.incoming(&pieces[0]),
            "drop default",
            "so nothing is delivered"
        );
        assert_eq!(host.incoming(&pieces[1]), "drop fragment-denied");
    }
}

#[test]
fn s50_a_verdict_lasts_as_long_as_reassembly_and_as_its_policy() {
    for net in nets() {
        let mut host = Host::new(RULES);
        let pieces = datagram(net, 7000, 1).fragments(1480);
        assert_eq!(host.incoming(&pieces[0]), "pass rule serve");
        host.wait(59);
        assert_eq!(host.incoming(&pieces[1]), "pass fragment");
        host.wait(30);
        assert_eq!(host.incoming(&pieces[1]), "pass fragment-early");
        assert_eq!(host.incoming(&pieces[0]), "pass flow serve");
        host.replace("");
        assert_eq!(
            host.incoming(&pieces[1]),
            "pass fragment-early",
            "another policy's verdict is void"
        );
        assert_eq!(host.incoming(&pieces[0]), "drop default");
        assert_eq!(host.incoming(&pieces[1]), "drop fragment-denied");
    }
}

#[test]
fn s51_tiny_first_piece() {
    for net in nets() {
        let host = Host::new(RULES);
        let syn = Packet::tcp(
            end(net.client, 1),
            end(net.server, 443),
            &Segment::new(SYN).data(100),
        );
        for bytes in [8, 16] {
            let tiny = &syn.fragments(bytes)[0];
            assert_eq!(host.incoming(tiny), "drop fragment-tiny", "{bytes} bytes of TCP");
        }
        let enough = &syn.fragments(24)[0];
        assert_eq!(host.incoming(enough), "pass rule serve");
        let mut with_options = syn.fragments(24)[0].clone();
        with_options.payload[12] = 15 << 4;
        assert_eq!(
            host.incoming(&with_options),
            "drop malformed-transport",
            "its options are elsewhere"
        );
    }
}

#[test]
fn s51_piece_at_offset_1() {
    for net in nets() {
        let host = Host::new(RULES);
        let syn = Packet::tcp(
            end(net.client, 1),
            end(net.server, 443),
            &Segment::new(SYN).data(100),
        );
        assert_eq!(host.incoming(&syn.fragments(24)[0]), "pass rule serve");
        assert_eq!(
            host.incoming(&syn.clone().cut(16).piece(1, true)),
            "drop fragment-overlap"
        );
        assert_eq!(
            host.incoming(&syn.clone().cut(16).piece(1, false)),
            "drop fragment-overlap"
        );
        assert_eq!(host.incoming(&syn.cut(16).piece(3, true)), "pass fragment");
    }
}

#[test]
fn s52_pieces_that_would_rewrite_the_first() {
    for net in nets() {
        let host = Host::new(RULES);
        let first = datagram(net, 7000, 1).fragments(1480)[0].clone();
        assert_eq!(host.incoming(&first), "pass rule serve");
        let later = |units| datagram(net, 7000, 1).cut(64).piece(units, true);
        for units in [2, 100, 184] {
            assert_eq!(
                host.incoming(&later(units)),
                "drop fragment-overlap",
                "at {units}"
            );
        }
        assert_eq!(host.incoming(&later(185)), "pass fragment");
        // Another first piece with other ports is judged by itself, and ends the datagram.
        assert_eq!(
            host.incoming(&datagram(net, 9999, 1).fragments(1480)[0]),
            "drop default"
        );
        assert_eq!(host.incoming(&later(185)), "drop fragment-denied");
    }
}

#[test]
fn s53_pieces_without_a_first_are_bounded() {
    for net in nets() {
        let mut host = Host::new(RULES);
        let later = |from: Net, identification| datagram(from, 7000, identification).cut(64).piece(185, true);
        for identification in 0..u16::try_from(ORPHANS_PER_SOURCE).expect("a few") {
            assert_eq!(host.incoming(&later(net, identification)), "pass fragment-early");
        }
        assert_eq!(host.incoming(&later(net, 60_000)), "drop fragment-orphans");
        let from_another = Net {
            client: net.other,
            ..net
        };
        assert_eq!(host.incoming(&later(from_another, 1)), "pass fragment-early");
        host.wait(2);
        assert_eq!(host.incoming(&later(net, 60_000)), "pass fragment-early");
    }
}

#[test]
fn pieces_have_whole_units_and_fit_a_datagram() {
    for net in nets() {
        let host = Host::new(RULES);
        assert_eq!(
            host.incoming(&datagram(net, 7000, 1).cut(63).piece(185, true)),
            "drop fragment-malformed"
        );
        assert_eq!(
            host.incoming(&datagram(net, 7000, 1).cut(63).piece(185, false)),
            "pass fragment-early"
        );
        assert_eq!(
            host.incoming(&datagram(net, 7000, 1).cut(64).piece(8191, false)),
            "drop fragment-malformed"
        );
    }
}

#[test]
fn s44_first_piece_without_all_headers() {
    let [_, net] = nets();
    let host = Host::new(RULES);
    let options = [2u8]
        .into_iter()
        .chain([1, 20])
        .chain([0; 20])
        .collect::<Vec<_>>();
    // The destination options are 24 bytes long and follow the fragment header.
    let whole = Packet::new(net.client, net.server, 60, {
        let udp = Packet::udp(end(net.client, 1), end(net.server, 7000), 100);
        [vec![17], options, udp.payload].concat()
    });
    for bytes in [8, 16, 24] {
        assert_eq!(
            host.incoming(&whole.fragments(bytes)[0]),
            "drop fragment-tiny",
            "{bytes} bytes"
        );
    }
    assert_eq!(host.incoming(&whole.fragments(32)[0]), "pass rule serve");
}

#[test]
fn s45_atomic_fragment_is_judged_like_a_whole_packet() {
    let [_, net] = nets();
    let host = Host::new(RULES);
    let pieces = datagram(net, 7000, 1).fragments(1480);
    assert_eq!(host.incoming(&pieces[0]), "pass rule serve");
    let atomic = |port| Packet::udp(end(net.client, 1), end(net.server, port), 8).piece(0, false);
    assert_eq!(host.incoming(&atomic(7000)), "pass rule serve");
    assert_eq!(host.incoming(&atomic(9999)), "drop default");
    assert_eq!(
        host.incoming(&pieces[1]),
        "pass fragment",
        "the datagram of that number goes on"
    );
}

#[test]
fn s47_two_fragment_headers() {
    let [_, net] = nets();
    let host = Host::new(RULES);
    for (units, more) in [(0, true), (0, false)] {
        let packet = datagram(net, 7000, 1)
            .cut(64)
            .piece(units, more)
            .extension(44, &[0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(host.incoming(&packet), "drop fragment-malformed");
    }
}

#[test]
fn fragments_of_a_live_connection_pass_and_of_none_do_not() {
    for net in nets() {
        let host = Host::new(RULES);
        let from = |flags| Segment::new(flags).data(1000);
        let data = Packet::tcp(end(net.client, 1), end(net.server, 443), &from(ACK)).fragments(488);
        assert_eq!(host.incoming(&data[0]), "drop tcp-no-state");
        assert_eq!(host.incoming(&data[1]), "drop fragment-denied");
        assert_eq!(
            host.incoming(&Packet::tcp(end(net.client, 1), end(net.server, 443), &from(SYN))),
            "pass rule serve"
        );
        assert_eq!(host.incoming(&data[0]), "pass flow serve");
        assert_eq!(host.incoming(&data[1]), "pass fragment");
    }
}
