//! UDP between real stacks.

use std::io::ErrorKind;

use firewall_common::reason::Reason;

use crate::{
    sockets::{PAIRS, end, is_silent, received, udp},
    world::Scene,
};

const RULES: &str = r#"
[[rule]]
name = "ask"
allow = "udp/5353"
to = "any"

[[rule]]
name = "serve"
allow = "udp/7000"
from = ["10.0.0.2", "fd00::2"]
"#;

#[test]
fn s21_the_answer_comes_back_and_nothing_else_does() {
    let scene = Scene::of(RULES);
    for (host, other) in PAIRS {
        let asking = udp(&scene.host, host, 40_000);
        let answering = udp(&scene.neighbour, other, 5353);
        let beside = udp(&scene.neighbour, other, 5354);
        answering
            .send_to(b"early", asking.local_addr().expect("its end"))
            .expect("it is sent");
        assert!(is_silent(&asking), "nobody has asked");
        asking.send_to(b"?", end(other, 5353)).expect("it goes out");
        assert_eq!(received(&answering), Some(1));
        answering
            .send_to(b"answer", end(host, 40_000))
            .expect("it is sent");
        assert_eq!(received(&asking), Some(6));
        beside.send_to(b"answer", end(host, 40_000)).expect("it is sent");
        assert!(is_silent(&asking), "from another port");
    }
    assert_eq!(scene.incoming_by(Reason::Default), 4);
    assert_eq!(scene.by_rule("ask"), 4, "a question and an answer of each family");
}

#[test]
fn s21_a_service_answers_whom_it_is_for() {
    let scene = Scene::of(RULES);
    for ((host, client), stranger) in PAIRS.into_iter().zip(["10.0.0.3", "fd00::3"]) {
        let serving = udp(&scene.host, host, 7000);
        for (from, allowed) in [(client, true), (stranger, false)] {
            let asking = udp(&scene.neighbour, from, 0);
            asking.send_to(b"?", end(host, 7000)).expect("it is sent");
            if allowed {
                let (_, asker) = serving.recv_from(&mut [0; 10]).expect("it comes");
                serving.send_to(b"answer", asker).expect("it goes out");
                assert_eq!(received(&asking), Some(6));
            } else {
                assert!(is_silent(&serving));
            }
        }
    }
}

#[test]
fn s03_a_datagram_that_may_not_go_out_is_refused_to_its_sender() {
    let scene = Scene::of(RULES);
    for (host, other) in PAIRS {
        let asking = udp(&scene.host, host, 0);
        asking.connect(end(other, 99)).expect("it has no route to fail");
        asking.send(b"?").expect("the first one is told only later");
        let refused = asking.recv(&mut [0]).expect_err("the refusal comes in");
        assert!(
            matches!(
                refused.kind(),
                ErrorKind::HostUnreachable | ErrorKind::PermissionDenied | ErrorKind::ConnectionRefused
            ),
            "{refused}"
        );
    }
    assert_eq!(scene.outgoing_by(Reason::Default), 2);
}
