//! Fragments, up to what the stack delivers.

use firewall_common::reason::Reason;
use firewall_tests::frames::Packet;

use crate::{
    raw::send,
    sockets::{PAIRS, end, is_silent, received, udp},
    world::Scene,
};

const RULES: &str = r#"
[[rule]]
name = "serve"
allow = ["udp/7000", "ping"]
from = "any"

[[rule]]
name = "out"
allow = "udp/7001"
to = "any"
"#;

const SIZES: [usize; 3] = [2000, 4500, 65_000];

/// Bytes of a piece on a link of 1500.
const PIECE: usize = 1440;

fn frames(pieces: &[Packet]) -> Vec<Vec<u8>> {
    pieces.iter().map(Packet::frame).collect()
}

fn datagram(client: &str, host: &str, port: u16, bytes: usize, identification: u16) -> Packet {
    Packet::udp(end(client, 40_000), end(host, port), bytes).identification(identification)
}

#[test]
fn s49_large_datagrams_are_delivered_both_ways() {
    let scene = Scene::of(RULES);
    for (host, client) in PAIRS {
        let (serving, asking) = (udp(&scene.host, host, 7000), udp(&scene.neighbour, client, 7001));
        for bytes in SIZES {
            asking
                .send_to(&vec![7; bytes], end(host, 7000))
                .expect("it is sent");
            assert_eq!(received(&serving), Some(bytes), "in");
            serving
                .send_to(&vec![7; bytes], end(client, 7001))
                .expect("it goes out");
            assert_eq!(received(&asking), Some(bytes), "out");
        }
    }
    assert!(scene.incoming_by(Reason::Fragment) > 90);
    assert!(scene.outgoing_by(Reason::Fragment) > 90);
}

#[test]
fn s49_pieces_in_reverse_order_and_interleaved_are_delivered() {
    let scene = Scene::of(RULES);
    for (host, client) in PAIRS {
        let serving = udp(&scene.host, host, 7000);
        for (number, bytes) in (1..).zip(SIZES) {
            let mut pieces = datagram(client, host, 7000, bytes, number).fragments(PIECE);
            pieces.reverse();
            send(&scene.neighbour, "r0", &frames(&pieces));
            assert_eq!(
                received(&serving),
                Some(bytes),
                "{host}: {bytes} bytes in reverse"
            );
        }
        let one = datagram(client, host, 7000, 4500, 11).fragments(PIECE);
        let other = datagram(client, host, 7000, 4400, 12).fragments(PIECE);
        let interleaved: Vec<Packet> = one.into_iter().zip(other).flat_map(<[Packet; 2]>::from).collect();
        send(&scene.neighbour, "r0", &frames(&interleaved));
        let mut got = [received(&serving), received(&serving)];
        got.sort_unstable();
        assert_eq!(got, [Some(4400), Some(4500)]);
    }
    assert!(scene.incoming_by(Reason::FragmentEarly) >= 2 * (1 + 3 + 45));
}

#[test]
fn s49_a_large_echo_is_answered() {
    let scene = Scene::of(RULES);
    for (host, client) in PAIRS {
        let ping = scene
            .neighbour
            .command("ping")
            .args([
                "-n", "-c", "2", "-i", "0.2", "-W", "1", "-s", "4500", "-I", client, host,
            ])
            .output()
            .expect("ping is installed");
        assert!(ping.status.success(), "{}", String::from_utf8_lossy(&ping.stdout));
    }
    assert_eq!(scene.incoming_by(Reason::Default), 0);
}

#[test]
fn s50_no_piece_of_a_denied_datagram_is_delivered() {
    let scene = Scene::of(RULES);
    for (host, client) in PAIRS {
        let denied = udp(&scene.host, host, 9999);
        for (identification, reverse) in [(21, false), (22, true)] {
            let mut pieces = datagram(client, host, 9999, 4500, identification).fragments(PIECE);
            if reverse {
                pieces.reverse();
            }
            send(&scene.neighbour, "r0", &frames(&pieces));
            assert!(is_silent(&denied), "{host}, in reverse: {reverse}");
        }
    }
    assert_eq!(scene.incoming_by(Reason::Default), 4, "the first pieces");
    assert_eq!(scene.incoming_by(Reason::FragmentDenied), 6);
    assert_eq!(scene.incoming_by(Reason::FragmentEarly), 6);
}

#[test]
fn s52_a_piece_that_would_rewrite_the_ports_gets_nothing_past() {
    let scene = Scene::of(RULES);
    for (host, client) in PAIRS {
        let (serving, denied) = (udp(&scene.host, host, 7000), udp(&scene.host, host, 9999));
        let allowed = datagram(client, host, 7000, 2000, 31).fragments(PIECE);
        let forged = datagram(client, host, 9999, 2000, 31).fragments(PIECE);
        // Another first piece, of another port, among the pieces of a datagram whose first was allowed.
        send(
            &scene.neighbour,
            "r0",
            &frames(&[allowed[0].clone(), forged[0].clone(), forged[1].clone()]),
        );
        assert!(is_silent(&denied), "{host}");
        // One that reaches into the header of the first, with more to follow.
        let allowed = datagram(client, host, 7000, 2000, 32).fragments(PIECE);
        let overlap = datagram(client, host, 9999, 2000, 32).cut(64).piece(2, true);
        send(
            &scene.neighbour,
            "r0",
            &frames(&[allowed[0].clone(), overlap, allowed[1].clone()]),
        );
        assert_eq!(
            received(&serving),
            Some(2000),
            "what was judged is delivered as it was: {host}"
        );
        assert!(is_silent(&denied), "{host}");
    }
    assert_eq!(scene.incoming_by(Reason::FragmentOverlap), 2);
    assert_eq!(scene.incoming_by(Reason::FragmentDenied), 2);
}

#[test]
fn s53_a_flood_of_pieces_leaves_whole_datagrams_alone() {
    let scene = Scene::of(RULES);
    for (host, client) in PAIRS {
        let serving = udp(&scene.host, host, 7000);
        let asking = udp(&scene.neighbour, client, 0);
        let flood: Vec<Vec<u8>> = (0..20_000)
            .map(|identification| {
                datagram(client, host, 7000, 200, identification)
                    .cut(64)
                    .piece(185, true)
                    .frame()
            })
            .collect();
        let before = scene.incoming_by(Reason::FragmentOrphans);
        std::thread::scope(|scope| {
            let neighbour = &scene.neighbour;
            let flooding = scope.spawn(|| send(neighbour, "r0", &flood));
            for round in 0..20 {
                asking.send_to(b"whole", end(host, 7000)).expect("it is sent");
                assert_eq!(received(&serving), Some(5), "round {round}");
            }
            flooding.join().expect("all are sent");
        });
        let dropped = scene.incoming_by(Reason::FragmentOrphans) - before;
        assert!(dropped > 15_000, "{host}: {dropped} of 20000");
    }
}
