//! Tagged frames, with the tag in the frame and with the tag beside it, as offloads have it.
//!
//! Told by counters: the kernel that the tests were made on has no VLAN devices (`CONFIG_VLAN_8021Q`), so that its stack
//! takes no tagged frame, whatever the firewall says.

use std::net::UdpSocket;

use firewall_common::{reason::Reason, wire::tcp::SYN};
use firewall_tests::{
    frames::{Packet, Segment},
    tiny,
};
use nix::net::if_::if_nametoindex;

use crate::{
    raw::send,
    sockets::{PAIRS, end, udp},
    world::{Scene, ethtool},
};

const ANY_VLAN: &str = r#"
[[rule]]
name = "web"
allow = "tcp/443"
from = "any"

[[rule]]
name = "out"
allow = "udp/7001"
to = "any"
"#;

const ONE_VLAN: &str = r#"
[[rule]]
name = "web"
allow = "tcp/443"
from = "any"
vlan = 10

[[rule]]
name = "out"
allow = "udp/7001"
to = "any"
vlan = 10
"#;

/// A SYN of each family, from a port of the tags' own.
fn syns(port: u16, vlans: &[u16]) -> Vec<Vec<u8>> {
    let from = 50_000 + vlans.iter().sum::<u16>();
    let syn = |(host, client)| Packet::tcp(end(client, from), end(host, port), &Segment::new(SYN));
    PAIRS.map(|pair| syn(pair).tagged(vlans)).into()
}

/// Sockets that send from the host, one of each family.
fn askers(scene: &Scene) -> [(UdpSocket, &'static str); 2] {
    PAIRS.map(|(host, other)| (udp(&scene.host, host, 0), other))
}

#[test]
fn s58_tagged_frames_have_the_verdict_of_untagged_ones_with_offload_on_and_off() {
    for offload in ["on", "off"] {
        for tags in [&[][..], &[10], &[10, 20]] {
            let scene = Scene::of(ANY_VLAN);
            ethtool(&scene.host, &format!("-K eth0 rxvlan {offload} txvlan {offload}"));
            send(&scene.neighbour, "r0", &syns(443, tags));
            send(&scene.neighbour, "r0", &syns(80, tags));
            assert_eq!(scene.matched("web"), 2, "{tags:?}, offload {offload}");
            assert_eq!(
                scene.incoming_by(Reason::Default),
                2,
                "{tags:?}, offload {offload}"
            );
        }
    }
    let scene = Scene::of(ANY_VLAN);
    ethtool(&scene.host, "-K eth0 rxvlan on txvlan on");
    send(&scene.neighbour, "r0", &syns(443, &[1, 2, 3]));
    assert_eq!(scene.incoming_by(Reason::VlanDepth), 2);
    assert_eq!(scene.matched("web"), 0);
}

#[test]
fn s58_a_tag_beside_an_incoming_frame_changes_no_verdict() {
    let scene = Scene::of(ANY_VLAN);
    let _tagging = scene.neighbour.run(|| {
        let index = if_nametoindex("r0").expect("an interface");
        tiny::tag_all(index, 10).expect("root may load programs")
    });
    send(&scene.neighbour, "r0", &syns(443, &[]));
    send(&scene.neighbour, "r0", &syns(80, &[]));
    assert_eq!(scene.matched("web"), 2);
    assert_eq!(scene.incoming_by(Reason::Default), 2);
}

#[test]
fn s58_a_rule_that_names_a_vlan_sees_the_tag_in_an_incoming_frame() {
    let scene = Scene::of(ONE_VLAN);
    // As the agent does for such a policy: receive offload off.
    scene.firewall.run(|firewall| {
        firewall.detach();
        firewall.attach(true);
    });
    for tags in [&[][..], &[11], &[20, 10]] {
        send(&scene.neighbour, "r0", &syns(443, tags));
    }
    assert_eq!((scene.matched("web"), scene.incoming_by(Reason::Default)), (0, 6));
    for tags in [&[10][..], &[10, 20]] {
        let before = scene.matched("web");
        send(&scene.neighbour, "r0", &syns(443, tags));
        assert_eq!(scene.matched("web"), before + 2, "{tags:?}");
    }
    scene.firewall.run(|firewall| {
        firewall.detach();
        firewall.attach(false);
    });
}

#[test]
fn s58_a_rule_that_names_a_vlan_sees_the_tag_beside_an_outgoing_frame() {
    for (vlan, allowed) in [(10, true), (11, false)] {
        let scene = Scene::of(ONE_VLAN);
        let asking = askers(&scene);
        for (socket, other) in &asking {
            let sent = socket.send_to(b"?", end(other, 7001));
            assert_eq!(sent.expect("the refusal comes later"), 1);
        }
        assert_eq!(scene.matched("out"), 0, "untagged");
        let _tagging = scene.host.run(|| {
            let index = if_nametoindex("eth0").expect("an interface");
            tiny::tag_all(index, vlan).expect("root may load programs")
        });
        let asking = askers(&scene);
        for (socket, other) in &asking {
            let sent = socket.send_to(b"?", end(other, 7001));
            assert_eq!(sent.expect("the refusal comes later"), 1);
        }
        assert_eq!(scene.matched("out"), if allowed { 2 } else { 0 }, "VLAN {vlan}");
        assert_eq!(scene.outgoing_by(Reason::Default), if allowed { 2 } else { 4 });
    }
}
