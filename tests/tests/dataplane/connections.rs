//! Connections: takeover, listing, killing, and what is told of drops.

use std::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use firewall_agent::{
    dataplane::{Admission, AttachMode, Dataplane, FlowTable},
    policy::model::Action,
};
use firewall_common::flow::State;
use firewall_tests::{netns::NetNs, wait::wait_until};

use crate::{
    policies::{cell, enforce, load, out_only, policy},
    wire::{LOCAL_V4, LOCAL_V6, PEER_V4, PEER_V6, Wire},
};

#[test]
fn open_connections_survive_the_first_enforcement() {
    let wire = Wire::shared();
    let ports = [(LOCAL_V4, 2200), (LOCAL_V6, 2201)];
    let mut kept = Vec::new();
    for (address, port) in ports {
        let listener = wire.host.run(|| TcpListener::bind((address, port))).unwrap();
        let client = wire.peer.run(|| TcpStream::connect((address, port))).unwrap();
        let (server, _) = listener.accept().unwrap();
        kept.push((listener, client, server));
    }
    let out = wire.peer.run(|| TcpListener::bind((PEER_V4, 3306))).unwrap();
    let query = wire.host.run(|| TcpStream::connect((PEER_V4, 3306))).unwrap();
    let udp = wire.host.run(|| UdpSocket::bind((LOCAL_V4, 0))).unwrap();
    udp.connect((PEER_V4, 53)).unwrap();

    let (mut dataplane, _) = wire.open();
    let nothing = policy(Action::Drop, Action::Drop);
    let loaded = load(&mut dataplane, &nothing);
    let mut seen = Vec::new();
    let outcome = wire.host.run(|| {
        dataplane.take_over(loaded.slot, None, &mut |socket| {
            seen.push((socket.protocol, socket.local.port(), socket.opened_by_remote));
            assert_eq!(socket.interface.as_deref(), Some("eth0"));
            // The second is one that the policy does not allow.
            (socket.local.port() != 2201).then_some(Admission::for_good(5))
        })
    });
    let outcome = outcome.unwrap();
    assert!(seen.contains(&(6, 2200, true)) && seen.contains(&(6, 2201, true)));
    assert!(seen.contains(&(6, query.local_addr().unwrap().port(), false)));
    assert!(seen.contains(&(17, udp.local_addr().unwrap().port(), false)));
    assert_eq!((outcome.seen, outcome.entered, outcome.denied), (4, 3, 1));
    dataplane.switch(cell(loaded.slot, loaded.slot)).unwrap();
    wire.attach(&mut dataplane, AttachMode::Native);
    let again = wire.host.run(|| {
        dataplane.take_over(loaded.slot, None, &mut |socket| {
            (socket.local.port() != 2201).then_some(Admission::for_good(5))
        })
    });
    assert_eq!(again.unwrap().known, 3);

    assert!(exchange(&kept[0].1, &kept[0].2), "the allowed one lives");
    assert!(!exchange(&kept[1].1, &kept[1].2), "the other one does not");
    let (server, _) = out.accept().unwrap();
    assert!(exchange(&query, &server));
    assert!(!wire.connects_out(PEER_V4) && !wire.connects_in(LOCAL_V4));
    let mut states = Vec::new();
    dataplane
        .visit_flows(&mut |view| {
            assert_eq!(view.table, FlowTable::Assured);
            states.push((view.flow.state, view.flow.rule));
            true
        })
        .unwrap();
    assert!(states.contains(&(State::Established, 5)), "{states:?}");
}

/// A connection whose ends talk all the time, until the value is dropped.
struct Talk {
    rounds: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Talk {
    fn between(client: TcpStream, server: TcpStream) -> Self {
        let (rounds, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stopped) = (Arc::clone(&rounds), Arc::clone(&stop));
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && exchange(&client, &server) {
                counter.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { rounds, stop }
    }

    /// Whether many more words are exchanged.
    fn goes_on(&self) -> bool {
        let before = self.rounds.load(Ordering::Relaxed);
        wait_until(Duration::from_secs(3), || {
            self.rounds.load(Ordering::Relaxed) > before + 50
        })
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_session_and_a_query_go_on_while_enforcement_begins() {
    for (local, remote) in [(LOCAL_V4, PEER_V4), (LOCAL_V6, PEER_V6)] {
        let wire = Wire::shared();
        // An operator's session from outside, a query to a database, and one that the policy does not allow.
        let open = |server: &NetNs, client: &NetNs, address, port| {
            let listener = server.run(|| TcpListener::bind((address, port))).unwrap();
            let one = client.run(|| TcpStream::connect((address, port))).unwrap();
            Talk::between(one, listener.accept().unwrap().0)
        };
        let session = open(&wire.host, &wire.peer, local, 22);
        let query = open(&wire.peer, &wire.host, remote, 3306);
        let denied = open(&wire.peer, &wire.host, remote, 8080);
        assert!(session.goes_on() && query.goes_on() && denied.goes_on());

        let (mut dataplane, _) = wire.open();
        let loaded = load(&mut dataplane, &policy(Action::Drop, Action::Drop));
        let outcome = wire.host.run(|| {
            dataplane.take_over(loaded.slot, None, &mut |socket| {
                (socket.local.port() == 22 || socket.remote.port() == 3306).then_some(Admission::for_good(5))
            })
        });
        assert_eq!(outcome.unwrap().entered, 2);
        dataplane.switch(cell(loaded.slot, loaded.slot)).unwrap();
        wire.attach(&mut dataplane, AttachMode::Native);
        assert!(session.goes_on(), "the session over {local}");
        assert!(query.goes_on(), "the query over {local}");
        assert!(!denied.goes_on(), "the one that is not allowed over {local}");
    }
}

/// Whether bytes pass both ways.
fn exchange(client: &TcpStream, server: &TcpStream) -> bool {
    use std::io::{Read, Write};
    let mut ok = true;
    for (mut from, mut to) in [(client, server), (server, client)] {
        to.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        ok &= from.write_all(b"x").is_ok() && to.read_exact(&mut [0]).is_ok();
    }
    ok
}

#[test]
fn flows_are_listed_and_deleted() {
    let wire = Wire::shared();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    let listener = wire.peer.run(|| TcpListener::bind((PEER_V4, 3306))).unwrap();
    let client = wire.host.run(|| TcpStream::connect((PEER_V4, 3306))).unwrap();
    let (server, _) = listener.accept().unwrap();
    assert!(exchange(&client, &server));
    let mut keys = Vec::new();
    dataplane
        .visit_flows(&mut |view| {
            if view.key.remote_port == 3306 {
                assert_eq!(view.flow.state, State::Established);
                assert!(view.age < Duration::from_secs(5) && view.idle < Duration::from_secs(5));
                keys.push(view.key);
            }
            true
        })
        .unwrap();
    assert_eq!(keys.len(), 1);
    let usage = dataplane.map_usage().unwrap();
    assert!(
        usage
            .iter()
            .any(|map| map.map == "FLOWS" && map.entries >= 1 && map.capacity >= 4096)
    );
    assert!(
        usage
            .iter()
            .any(|map| map.map.starts_with("IMAGE_") && map.entries > 0)
    );
    enforce(&mut dataplane, &policy(Action::Drop, Action::Drop));
    assert!(dataplane.delete_flow(&keys[0]).unwrap());
    assert!(!dataplane.delete_flow(&keys[0]).unwrap());
    assert!(!exchange(&client, &server), "the flow was what let it through");
}

#[test]
fn drops_are_told_as_events() {
    let wire = Wire::new();
    let (mut dataplane, _) = wire.open();
    enforce(&mut dataplane, &out_only());
    wire.attach(&mut dataplane, AttachMode::Native);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut events = dataplane.events().unwrap();
        let mut seen = Vec::new();
        assert!(!wire.connects_in(LOCAL_V4));
        let waiting = async {
            while !seen
                .iter()
                .any(|event: &firewall_common::event::Event| event.destination_port == 4243)
            {
                events.read(&mut seen, 64).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .unwrap();
    });
}
