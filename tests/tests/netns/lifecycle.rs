//! Policies that change while packets come.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use firewall_common::reason::Reason;

use crate::{
    firewall::Firewall,
    sockets::{ARRIVAL, PAIRS, SILENCE, connect, end, exchange, listen, pair, udp},
    world::Scene,
};

/// Allows the same under one of two names.
fn policy(name: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nallow = [\"udp/7000\", \"tcp/443\"]\nfrom = \"any\"\n")
}

#[test]
fn s65_every_packet_of_a_flood_is_judged_by_the_old_or_the_new_policy() {
    let scene = Scene::of(&policy("one"));
    let (serving, denied) = (
        udp(&scene.host, "10.0.0.1", 7000),
        udp(&scene.host, "10.0.0.1", 9999),
    );
    nix::sys::socket::setsockopt(&serving, nix::sys::socket::sockopt::RcvBufForce, &(32 << 20))
        .expect("root may");
    serving.set_read_timeout(Some(SILENCE)).expect("a time-out");
    let stop = AtomicBool::new(false);
    let [sent, beside, got] = [const { AtomicUsize::new(0) }; 3];
    thread::scope(|scope| {
        scope.spawn(|| {
            let [allowed, refused] = [0, 0].map(|port| udp(&scene.neighbour, "10.0.0.2", port));
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..16 {
                    allowed
                        .send_to(b"flood", end("10.0.0.1", 7000))
                        .expect("it is sent");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                refused
                    .send_to(b"flood", end("10.0.0.1", 9999))
                    .expect("it is sent");
                beside.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(200));
            }
        });
        scope.spawn(|| {
            while serving.recv(&mut [0; 16]).is_ok() {
                got.fetch_add(1, Ordering::Relaxed);
            }
        });
        let end = Instant::now() + Duration::from_secs(4);
        let mut switches = 0;
        while Instant::now() < end {
            switches += 1;
            scene.switch(&policy(["one", "two"][switches % 2]));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(switches > 20, "{switches}");
    });
    let [sent, beside, got] = [sent, beside, got].map(|count| count.into_inner() as u64);
    let (one, two) = (scene.by_rule("one"), scene.by_rule("two"));
    assert_eq!(one + two, got, "what was let in arrived");
    assert!(one > 100 && two > 100, "{one}, {two}");
    // The wire itself loses what comes while its ring is full, before any program sees it.
    assert!(sent > 5000 && got > sent / 100 * 99, "{got} of {sent}");
    let dropped = scene.incoming_by(Reason::Default);
    assert!(
        dropped <= beside && dropped > beside / 100 * 90,
        "only what neither allows: {dropped} of {beside}"
    );
    assert!(crate::sockets::is_silent(&denied), "none slipped through");
    for never in [Reason::NoPolicy, Reason::Internal, Reason::FlowTableFull] {
        assert_eq!(scene.incoming_by(never), 0, "{never:?}");
    }
}

#[test]
fn s66_a_new_deny_cuts_a_live_connection() {
    for (host, client) in PAIRS {
        let scene = Scene::of(&policy("one"));
        let (one, other) = pair((&scene.neighbour, client), (&scene.host, host), 443);
        assert!(exchange(&one, &other));
        scene.switch(&policy("two"));
        assert!(exchange(&one, &other), "the new policy allows it, too");
        scene.switch("[[rule]]\nname = \"no\"\ndrop = \"tcp/443\"\nfrom = \"any\"\n");
        assert!(!exchange(&one, &other));
        assert!(scene.by_rule("no") > 0);
        scene.switch(&policy("one"));
        assert!(!exchange(&one, &other), "what was cut stays cut");
    }
}

#[test]
fn s66_a_killed_flow_is_over_and_a_new_one_comes_about() {
    let scene = Scene::of(&policy("one"));
    for (host, client) in PAIRS {
        let (one, other) = pair((&scene.neighbour, client), (&scene.host, host), 443);
        assert!(exchange(&one, &other));
        assert!(scene.firewall.run(Firewall::kill_flows) >= 1);
        assert!(!exchange(&one, &other));
        let _listener = listen(&scene.host, host, 443);
        assert!(connect(&scene.neighbour, end(client, 0), end(host, 443), ARRIVAL).is_ok());
    }
}
