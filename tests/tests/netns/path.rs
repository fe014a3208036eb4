//! Path MTU discovery over a router with a narrow link behind it.

use std::io::{Read, Write};

use firewall_common::reason::Reason;

use crate::{
    sockets::pair,
    world::{PEER_V4, PEER_V6, Scene},
};

const RULES: &str = r#"
[[rule]]
name = "out"
allow = "tcp/443"
to = "any"
"#;

const BULK: usize = 1 << 20;

#[test]
fn s24_s25_the_sender_learns_of_a_narrow_link() {
    let scene = Scene::of(RULES);
    scene.neighbour.ip("link set r1 mtu 1400").expect("a narrow link");
    for (host, peer, family) in [("10.0.0.1", PEER_V4, "-4"), ("fd00::1", PEER_V6, "-6")] {
        let told = scene.incoming_by(Reason::RelatedIcmp);
        let (mut one, mut other) = pair((&scene.host, host), (&scene.peer, peer), 443);
        let sender = std::thread::spawn(move || one.write_all(&vec![7; BULK]).map(|()| drop(one)));
        let mut got = Vec::new();
        other.read_to_end(&mut got).expect("all of it comes");
        assert_eq!(got.len(), BULK);
        sender.join().expect("it is sent").expect("it is taken");
        let route = scene
            .host
            .ip(&format!("{family} route get {peer}"))
            .expect("a route");
        assert!(route.contains("mtu 1400"), "{route}");
        assert!(
            scene.incoming_by(Reason::RelatedIcmp) > told,
            "the router has said so"
        );
    }
    assert_eq!(scene.incoming_by(Reason::IcmpUnrelated), 0);
    scene.neighbour.ip("link set r1 mtu 1500").expect("a link");
    for family in ["-4", "-6"] {
        scene
            .host
            .ip(&format!("{family} route flush cache"))
            .expect("forgotten");
    }
}
