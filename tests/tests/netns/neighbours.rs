//! Neighbours and addresses under a policy that allows nothing.

use std::time::Duration;

use firewall_common::reason::Reason;
use firewall_tests::wait::wait_until;

use crate::{
    sockets::{ARRIVAL, connect, end, exchange, listen},
    world::Scene,
};

#[test]
fn s36_neighbours_are_found_again_after_the_cache_was_flushed() {
    let scene = Scene::of("");
    // The failsafe's management access is all that is open.
    for (host, manager) in [("10.0.0.1", "10.0.0.9"), ("fd00::1", "fd00::9")] {
        let listener = listen(&scene.host, host, 22);
        for round in 0..3 {
            scene.host.ip("neigh flush dev eth0").expect("flushed");
            scene.neighbour.ip("neigh flush dev r0").expect("flushed");
            let one = connect(&scene.neighbour, end(manager, 0), end(host, 22), ARRIVAL);
            let one = one.unwrap_or_else(|error| panic!("{host}, round {round}: {error}"));
            let (other, _) = listener.accept().expect("it has come");
            assert!(exchange(&one, &other));
        }
    }
    assert!(scene.incoming_by(Reason::LinkProtocol) >= 3, "ARP");
    assert!(scene.outgoing_by(Reason::LinkProtocol) >= 3);
    assert!(scene.incoming_by(Reason::NeighbourDiscovery) >= 3);
    assert!(scene.outgoing_by(Reason::NeighbourDiscovery) >= 3);
    assert_eq!(scene.incoming_by(Reason::NeighbourDiscoveryInvalid), 0);
}

#[test]
fn s36_duplicate_addresses_are_detected() {
    let scene = Scene::of("");
    let state = |address: &str| {
        let text = scene.host.ip("-6 address show dev eth0").expect("addresses");
        let line = text.lines().find(|line| line.contains(address));
        line.unwrap_or_default().to_owned()
    };
    scene
        .host
        .ip("address add fd00::77/64 dev eth0")
        .expect("an address");
    let is_settled = || !state("fd00::77/64").contains("tentative");
    assert!(
        wait_until(Duration::from_secs(5), is_settled),
        "{}",
        state("fd00::77/64")
    );
    assert!(!state("fd00::77/64").contains("dadfailed"));
    // The neighbour has this one.
    scene
        .host
        .ip("address add fd00::4/64 dev eth0")
        .expect("an address");
    let has_failed = || state("fd00::4/64").contains("dadfailed");
    assert!(
        wait_until(Duration::from_secs(5), has_failed),
        "{}",
        state("fd00::4/64")
    );
    for address in ["fd00::77/64", "fd00::4/64"] {
        scene
            .host
            .ip(&format!("address delete {address} dev eth0"))
            .expect("removed");
    }
}

#[test]
fn s69_the_failsafe_works_under_deny_all_and_nothing_else_does() {
    let scene = Scene::of(
        "[[rule]]\nname = \"none\"\ndrop = \"any\"\nfrom = \"any\"\n\n[[rule]]\nname = \"nowhere\"\nreject = \"any\"\nto = \"any\"\n",
    );
    for [host, manager, stranger, resolver] in [
        ["10.0.0.1", "10.0.0.9", "10.0.0.2", "10.0.0.53"],
        ["fd00::1", "fd00::9", "fd00::2", "fd00::53"],
    ] {
        let listeners = [22, 80].map(|port| listen(&scene.host, host, port));
        let one = connect(&scene.neighbour, end(manager, 0), end(host, 22), ARRIVAL).expect("management");
        let (other, _) = listeners[0].accept().expect("it has come");
        assert!(exchange(&one, &other));
        for (from, port) in [(manager, 80), (stranger, 22)] {
            let failed = connect(
                &scene.neighbour,
                end(from, 0),
                end(host, port),
                crate::sockets::SILENCE,
            );
            assert!(failed.is_err(), "{from} to port {port}");
        }
        let (asking, answering) = (
            crate::sockets::udp(&scene.host, host, 0),
            crate::sockets::udp(&scene.neighbour, resolver, 53),
        );
        asking.send_to(b"?", end(resolver, 53)).expect("it goes out");
        let (_, asker) = answering.recv_from(&mut [0; 10]).expect("it comes");
        answering.send_to(b"name", asker).expect("it is sent");
        assert_eq!(crate::sockets::received(&asking), Some(4));
    }
    assert!(scene.by_rule("none") >= 4);
    assert!(scene.incoming_by(Reason::FailsafeManagement) >= 6);
    assert_eq!(scene.outgoing_by(Reason::FailsafeDns), 2);
    assert_eq!(scene.incoming_by(Reason::FailsafeDns), 2);
}
