//! Ping, traceroute, and errors that sockets are to see.

use std::{io::ErrorKind, process::Output};

use firewall_common::reason::Reason;
use firewall_tests::netns::NetNs;
use nix::sys::socket::{setsockopt, sockopt};

use crate::{
    sockets::{PAIRS, end, udp},
    world::{PEER_V4, PEER_V6, Scene},
};

const RULES: &str = r#"
[[rule]]
name = "out"
allow = ["ping", "udp/33434-33534"]
to = "any"

[[rule]]
name = "ping"
allow = "ping"
from = ["10.0.0.2", "10.0.0.3", "fd00::2", "fd00::3"]
"#;

/// Runs ping with these words, which are separated by blanks.
fn ping(namespace: &NetNs, words: &str) -> Output {
    let mut command = namespace.command("ping");
    command.args(["-n", "-W", "1"]).args(words.split_whitespace());
    command.output().expect("ping is installed")
}

fn succeeds(namespace: &NetNs, words: &str) -> bool {
    ping(namespace, words).status.success()
}

#[test]
fn s33_two_clients_with_one_identifier_both_get_replies() {
    let scene = Scene::of(RULES);
    for [host, one, other] in [
        ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
        ["fd00::1", "fd00::2", "fd00::3"],
    ] {
        std::thread::scope(|scope| {
            let both = [one, other].map(|from| {
                let neighbour = &scene.neighbour;
                scope.spawn(move || succeeds(neighbour, &format!("-c 3 -i 0.2 -e 77 -I {from} {host}")))
            });
            for ended in both {
                assert!(ended.join().expect("it ends"), "{host}");
            }
        });
    }
    assert_eq!(
        scene.by_rule("ping"),
        24,
        "three requests and replies, two clients, two families"
    );
    assert!(
        !succeeds(&scene.neighbour, "-c 1 -I 10.0.0.4 10.0.0.1"),
        "no rule for this one"
    );
    assert_eq!(scene.incoming_by(Reason::Default), 1);
}

#[test]
fn s34_replies_to_the_hosts_own_requests_come_in() {
    let scene = Scene::of(RULES);
    for (_, other) in PAIRS {
        assert!(succeeds(&scene.host, &format!("-c 2 -i 0.2 {other}")));
    }
    assert_eq!(scene.by_rule("out"), 8);
    let scene = {
        drop(scene);
        Scene::of("")
    };
    for (_, other) in PAIRS {
        assert!(!succeeds(&scene.host, &format!("-c 1 {other}")));
    }
    assert_eq!(scene.outgoing_by(Reason::Default), 2);
}

#[test]
fn s26_a_closed_port_is_told_to_the_socket() {
    let scene = Scene::of(RULES);
    for (host, other) in PAIRS {
        let asking = udp(&scene.host, host, 0);
        asking.connect(end(other, 33_434)).expect("there is a route");
        asking.send(b"?").expect("it goes out");
        let refused = asking.recv(&mut [0]).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    assert_eq!(scene.incoming_by(Reason::RelatedIcmp), 2);
}

#[test]
fn s31_the_hosts_own_traceroute_sees_the_routers() {
    let scene = Scene::of(RULES);
    // The router answers from any of its addresses.
    for (peer, router) in [(PEER_V4, "From 10.0.0."), (PEER_V6, "From fd00::")] {
        let by_echo = ping(&scene.host, &format!("-c 1 -t 1 {peer}"));
        let told = String::from_utf8_lossy(&by_echo.stdout);
        assert!(told.contains(router) && told.contains("exceeded"), "{told}");
        assert!(
            succeeds(&scene.host, &format!("-c 1 -t 2 {peer}")),
            "two hops away"
        );
    }
    for (host, peer) in [("10.0.0.1", PEER_V4), ("fd00::1", PEER_V6)] {
        let probe = udp(&scene.host, host, 0);
        if host.contains(':') {
            setsockopt(&probe, sockopt::Ipv6Ttl, &1).expect("a hop limit");
            setsockopt(&probe, sockopt::Ipv6RecvErr, &true).expect("an option");
        } else {
            setsockopt(&probe, sockopt::Ipv4Ttl, &1).expect("a TTL");
            setsockopt(&probe, sockopt::Ipv4RecvErr, &true).expect("an option");
        }
        probe.connect(end(peer, 33_435)).expect("there is a route");
        probe.send(b"?").expect("it goes out");
        let exceeded = probe.recv(&mut [0]).expect_err("it does not arrive");
        assert_eq!(exceeded.kind(), ErrorKind::HostUnreachable, "{exceeded}");
    }
    assert_eq!(scene.incoming_by(Reason::RelatedIcmp), 4);
    assert_eq!(scene.incoming_by(Reason::IcmpUnrelated), 0);
}
