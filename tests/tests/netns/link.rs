//! Spoofed sources, frames that are not IP, and the loopback interface.

use std::net::UdpSocket;

use firewall_common::{
    reason::Reason,
    wire::{ethernet, tcp::SYN},
};
use firewall_tests::frames::{Packet, Segment, frame};

use crate::{
    raw::send,
    sockets::{ARRIVAL, PAIRS, connect, end, exchange, is_silent, listen, received, udp},
    world::Scene,
};

const EVERYTHING: &str = "[[rule]]\nname = \"all\"\nallow = \"any\"\nfrom = \"any\"\n";

#[test]
fn s56_spoofed_sources_reach_no_socket() {
    let scene = Scene::of(EVERYTHING);
    let spoofed = [
        "127.0.0.1",
        "127.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "::1",
        "ff02::1",
        "::",
    ];
    for (host, client) in PAIRS {
        let serving = udp(&scene.host, host, 7000);
        let of_family = spoofed
            .into_iter()
            .filter(|source| source.contains(':') == host.contains(':'));
        let datagrams: Vec<Vec<u8>> = of_family
            .chain([host])
            .map(|source| Packet::udp(end(source, 7000), end(host, 7000), 10).frame())
            .collect();
        send(&scene.neighbour, "r0", &datagrams);
        assert!(is_silent(&serving));
        send(
            &scene.neighbour,
            "r0",
            &[Packet::udp(end(client, 1), end(host, 7000), 11).frame()],
        );
        assert_eq!(received(&serving), Some(11), "an honest one");
    }
    assert_eq!(scene.incoming_by(Reason::SpoofedSource), 8);
    assert_eq!(scene.incoming_by(Reason::SpoofedOwn), 2);
    assert_eq!(scene.matched("all"), 2);
}

#[test]
fn s59_arp_passes_and_unknown_ether_types_do_not() {
    let scene = Scene::of("");
    let of_type = |ether_type| frame(&[], ether_type, &[0; 46]);
    let unknown = [0x88f7, 0x8035, 0x9000, 0x0bad].map(of_type);
    send(&scene.neighbour, "r0", &unknown);
    assert_eq!(scene.incoming_by(Reason::EtherType), 4);
    let passed = scene.incoming_by(Reason::LinkProtocol);
    let known = [ethernet::SLOW, ethernet::LLDP, ethernet::EAPOL, 38].map(of_type);
    send(&scene.neighbour, "r0", &known);
    assert_eq!(scene.incoming_by(Reason::LinkProtocol), passed + 4);
    let (asked, answered) = (
        scene.incoming_by(Reason::LinkProtocol),
        scene.outgoing_by(Reason::LinkProtocol),
    );
    scene.neighbour.ip("neigh flush dev r0").expect("flushed");
    let mut ping = scene.neighbour.command("ping");
    let ended = ping.args(["-c1", "-W1", "-I", "10.0.0.2", "10.0.0.1"]).output();
    assert!(
        !ended.expect("ping is installed").status.success(),
        "the policy allows nothing"
    );
    assert!(scene.incoming_by(Reason::LinkProtocol) > asked, "but ARP");
    assert!(scene.outgoing_by(Reason::LinkProtocol) > answered, "is answered");
}

#[test]
fn s54_cut_frames_of_the_hosts_own_raw_sockets_are_dropped() {
    let scene = Scene::of("[[rule]]\nname = \"out\"\nallow = \"any\"\nto = \"any\"\n");
    for (host, client) in PAIRS {
        let whole = Packet::tcp(end(host, 9), end(client, 9), &Segment::new(SYN)).frame();
        let header_bytes = if host.contains(':') { 40 } else { 20 };
        let cut: Vec<Vec<u8>> = (15..14 + header_bytes)
            .map(|bytes| whole[..bytes].to_vec())
            .collect();
        let before = scene.outgoing_by(Reason::TruncatedIp);
        send(&scene.host, "eth0", &cut);
        assert_eq!(scene.outgoing_by(Reason::TruncatedIp) - before, cut.len() as u64);
        send(&scene.host, "eth0", &[whole]);
    }
    assert_eq!(scene.by_rule("out"), 2, "the whole ones");
}

#[test]
fn s60_loopback_is_never_filtered() {
    let scene = Scene::of("[[rule]]\nname = \"none\"\ndrop = \"any\"\nfrom = \"any\"\n");
    for address in ["127.0.0.1", "::1", "10.0.0.1", "fd00::1"] {
        let listener = listen(&scene.host, address, 8080);
        let one = connect(&scene.host, end(address, 0), end(address, 8080), ARRIVAL).expect("loopback");
        let (other, _) = listener.accept().expect("it has come");
        assert!(exchange(&one, &other), "{address}");
        let socket: UdpSocket = udp(&scene.host, address, 8081);
        socket.send_to(b"self", end(address, 8081)).expect("it is sent");
        assert_eq!(received(&socket), Some(4));
    }
    assert_eq!(scene.by_rule("none"), 0);
}
