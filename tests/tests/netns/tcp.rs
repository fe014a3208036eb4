//! TCP between real stacks.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener},
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use firewall_common::{
    reason::Reason,
    wire::tcp::{ACK, RST, SYN},
};
use firewall_tests::frames::{Packet, Segment};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, sendto, socket};

use crate::{
    raw::send,
    sockets::{ARRIVAL, PAIRS, SILENCE, connect, end, exchange, listen, pair},
    world::Scene,
};

const RULES: &str = r#"
[[rule]]
name = "web"
allow = "tcp/443"
from = ["10.0.0.2", "fd00::2"]

[[rule]]
name = "no-telnet"
reject = "tcp/23"
from = "any"

[[rule]]
name = "database"
allow = "tcp/3306"
to = ["10.0.0.2", "fd00::2"]
"#;

/// Bytes of a bulk transfer: many segments, larger than any buffer on the way.
const BULK: usize = 4 << 20;

#[test]
fn s01_handshake_and_data_pass_both_ways() {
    let scene = Scene::of(RULES);
    for (server, client) in PAIRS {
        let before = scene.by_rule("web");
        let (one, other) = pair((&scene.neighbour, client), (&scene.host, server), 443);
        assert!(exchange(&one, &other));
        assert!(
            scene.by_rule("web") >= before + 7,
            "handshake, data, acknowledgements"
        );
    }
}

#[test]
fn s02_a_port_not_allowed_is_silent_and_a_rejected_one_says_so() {
    let scene = Scene::of(RULES);
    for (server, client) in PAIRS {
        for port in [80, 23] {
            let listener = listen(&scene.host, server, port);
            listener.set_nonblocking(true).expect("a socket");
            let dropped = scene.incoming_by(Reason::Default);
            let start = Instant::now();
            let failed = connect(&scene.neighbour, end(client, 0), end(server, port), SILENCE)
                .expect_err("no rule allows it");
            if port == 80 {
                assert_eq!(failed.kind(), ErrorKind::TimedOut);
                assert!(scene.incoming_by(Reason::Default) > dropped);
            } else {
                assert_eq!(failed.kind(), ErrorKind::ConnectionRefused);
                assert!(start.elapsed() < SILENCE, "at once");
            }
            assert!(listener.accept().is_err(), "it never reaches the socket");
        }
    }
    assert_eq!(scene.by_rule("no-telnet"), 2, "one SYN of each family");
    // A source that is not allowed.
    let _listener = listen(&scene.host, "10.0.0.1", 443);
    assert!(
        connect(
            &scene.neighbour,
            end("10.0.0.3", 0),
            end("10.0.0.1", 443),
            SILENCE
        )
        .is_err()
    );
}

#[test]
fn s03_outgoing_connections_need_no_rule_for_what_comes_back() {
    let scene = Scene::of(RULES);
    for (host, database) in PAIRS {
        let (one, other) = pair((&scene.host, host), (&scene.neighbour, database), 3306);
        assert!(exchange(&one, &other));
        // The same port of another host is not allowed, nor is the way back.
        let _listener = listen(&scene.host, host, 3306);
        assert!(connect(&scene.neighbour, end(database, 0), end(host, 3306), SILENCE).is_err());
    }
    assert!(scene.by_rule("database") >= 14);
}

#[test]
fn s03_refused_outgoing_connections_fail_at_once() {
    let scene = Scene::of(RULES);
    for (host, other) in PAIRS {
        let _listener = listen(&scene.neighbour, other, 80);
        let start = Instant::now();
        let failed =
            connect(&scene.host, end(host, 0), end(other, 80), ARRIVAL).expect_err("no rule allows it");
        assert_eq!(failed.kind(), ErrorKind::ConnectionRefused);
        // A SYN that nobody answers is sent again after a second.
        assert!(start.elapsed() < SILENCE, "{:?}", start.elapsed());
    }
    assert_eq!(scene.outgoing_by(Reason::Default), 2, "one SYN of each family");
}

#[test]
fn s04_an_answer_that_nobody_asked_for_reaches_no_stack() {
    let scene = Scene::of(RULES);
    for (host, client) in PAIRS {
        let segment = |flags| {
            let segment = Segment::new(flags);
            Packet::tcp(end(client, 3306), end(host, 40_000), &segment).frame()
        };
        let count = || {
            [
                scene.incoming_by(Reason::TcpNoState),
                scene.outgoing_by(Reason::TcpNoState),
            ]
        };
        let [dropped, own] = count();
        send(&scene.neighbour, "r0", &[SYN | ACK, ACK, RST].map(segment));
        // A stack that had seen them would have answered with a reset, which no flow lets out.
        assert_eq!(count(), [dropped + 3, own], "{host}");
    }
}

#[test]
fn s14_data_goes_on_after_one_end_has_said_its_last() {
    let scene = Scene::of(RULES);
    for (server, client) in PAIRS {
        let (mut one, mut other) = pair((&scene.neighbour, client), (&scene.host, server), 443);
        one.write_all(b"question").expect("it is sent");
        one.shutdown(Shutdown::Write).expect("half closed");
        let mut question = Vec::new();
        other.read_to_end(&mut question).expect("the end is seen");
        assert_eq!(question, b"question");
        let sender = std::thread::spawn(move || {
            other.write_all(&vec![7; BULK]).expect("it is taken");
        });
        let mut answer = Vec::new();
        one.read_to_end(&mut answer).expect("all of it comes");
        assert_eq!(answer.len(), BULK);
        sender.join().expect("it is sent");
    }
}

#[test]
fn s17_a_source_port_is_used_again_at_once() {
    let scene = Scene::of(RULES);
    for (server, client) in PAIRS {
        let listener = listen(&scene.host, server, 443);
        for round in 0..4 {
            let from = end(client, 45_000);
            let one = connect(&scene.neighbour, from, end(server, 443), ARRIVAL).expect("it connects");
            let (other, _) = listener.accept().expect("it has come");
            assert!(exchange(&one, &other), "round {round}");
            // The host closes first and keeps the pair in TIME_WAIT, from which a new SYN may take it.
            drop(other);
            std::thread::sleep(Duration::from_millis(20));
            drop(one);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert_eq!(scene.matched("web"), 8, "each one is a new flow");
}

#[test]
fn s20_a_syn_may_carry_data() {
    let scene = Scene::of(RULES);
    for namespace in [&scene.host, &scene.neighbour] {
        // Client and server, neither with a cookie (Documentation/networking/ip-sysctl.rst).
        namespace
            .sysctl("net/ipv4/tcp_fastopen", "519")
            .expect("a setting");
    }
    let listener = listen(&scene.host, "10.0.0.1", 443);
    accept_early_data(&listener);
    let socket = scene
        .neighbour
        .run(|| send_early([10, 0, 0, 2], [10, 0, 0, 1], b"early"));
    let (mut other, _) = listener.accept().expect("it has come");
    let mut early = [0; 5];
    other.read_exact(&mut early).expect("the data came with it");
    assert_eq!(&early, b"early");
    let statistics = scene
        .host
        .run(|| std::fs::read_to_string("/proc/thread-self/net/netstat"))
        .expect("statistics");
    assert_eq!(
        statistic(&statistics, "TCPFastOpenPassive"),
        Some(1),
        "it was in the SYN"
    );
    drop(socket);
}

/// Has a listener take data that comes in SYNs.
fn accept_early_data(listener: &TcpListener) {
    let queue: libc::c_int = 5;
    // SAFETY: the option is a number, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN,
            (&raw const queue).cast(),
            size_of::<libc::c_int>().try_into().expect("a small number"),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// A socket that has sent a SYN with data.
fn send_early(from: [u8; 4], to: [u8; 4], data: &[u8]) -> OwnedFd {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    let address = |[a, b, c, d]: [u8; 4], port| SockaddrIn::new(a, b, c, d, port);
    bind(socket.as_raw_fd(), &address(from, 0)).expect("its address");
    let early = MsgFlags::from_bits_retain(libc::MSG_FASTOPEN);
    let sent = sendto(socket.as_raw_fd(), data, &address(to, 443), early);
    assert_eq!(sent, Ok(data.len()));
    socket
}

/// A number of `/proc/net/netstat`, where a line of names precedes each line of numbers.
fn statistic(text: &str, name: &str) -> Option<u64> {
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks_exact(2).find_map(|pair| {
        let place = pair[0].split_whitespace().position(|word| word == name)?;
        pair[1].split_whitespace().nth(place)?.parse().ok()
    })
}

#[test]
fn a_bulk_transfer_goes_by_the_flow() {
    let scene = Scene::of(RULES);
    for (server, client) in PAIRS {
        let (mut one, mut other) = pair((&scene.neighbour, client), (&scene.host, server), 443);
        let sender = std::thread::spawn(move || one.write_all(&vec![7; BULK]).map(|()| drop(one)));
        let mut got = Vec::new();
        other.read_to_end(&mut got).expect("all of it comes");
        assert_eq!(got.len(), BULK);
        sender.join().expect("it is sent").expect("it is taken");
    }
}
