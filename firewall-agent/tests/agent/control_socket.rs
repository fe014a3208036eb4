//! What clients of the control socket can do, and what they cannot do to the agent.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use firewall_agent::{
    control::{
        AccessRules, EventReceiver, Handler, Limits, Peer, Server,
        client::{Client, ClientError},
        protocol::{EventFilter, EventInfo, Events, Failure, FailureKind, FlowsDeleted, Request, Response},
    },
    settings::ControlSettings,
};
use jiff::Timestamp;
use tokio::sync::broadcast;

/// Counts what it is asked.
struct Counting {
    asked: AtomicUsize,
    events: broadcast::Sender<Arc<EventInfo>>,
}

impl Default for Counting {
    fn default() -> Self {
        Self {
            asked: AtomicUsize::default(),
            events: broadcast::Sender::new(QUEUE),
        }
    }
}

/// Events that a watcher may be behind.
const QUEUE: usize = 64;

/// An event with a line of so many bytes.
fn event(reason: &str, bytes: usize) -> Arc<EventInfo> {
    Arc::new(EventInfo {
        at: Timestamp::UNIX_EPOCH,
        direction: "in".to_owned(),
        interface: "eth0".to_owned(),
        verdict: "drop".to_owned(),
        reason: reason.to_owned(),
        rule: None,
        protocol: None,
        source: None,
        source_port: None,
        destination: None,
        destination_port: None,
        icmp: None,
        length: 60,
        packet: "x".repeat(bytes),
    })
}

impl Handler for Counting {
    fn handle(&self, _peer: &Peer, request: Request) -> Result<Response, Failure> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match request {
            Request::RuleShow { name } if name == "panic" => panic!("the test wants it"),
            Request::RuleShow { name } => Err(Failure::new(FailureKind::NotFound, name)),
            _ => Ok(Response::FlowsDeleted(FlowsDeleted { flows: 1 })),
        }
    }

    fn follow(&self, _: &EventFilter, _: u32) -> Result<(Events, EventReceiver), Failure> {
        Ok((Events::default(), self.events.subscribe()))
    }
}

/// A served socket.
struct Socket {
    path: PathBuf,
    handler: Arc<Counting>,
    _directory: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

const LIMITS: Limits = Limits {
    request_bytes: 1000,
    write_request_bytes: 1000,
    clients: 4,
    clients_per_user: 4,
    root_clients: 4,
    idle: Duration::from_secs(20),
    seat: Duration::from_millis(150),
    large_requests: 2,
    request: Duration::from_millis(300),
    reply: Duration::from_millis(300),
};

const STATUS: &str = "{\"version\":1,\"request\":{\"counters\":{}}}\n";

impl Socket {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("run/control.sock");
        let handler = Arc::new(Counting::default());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let rules = AccessRules::new(&ControlSettings::default()).expect("no groups");
        let server = runtime
            .block_on(Server::bind(&path, rules, LIMITS))
            .expect("it binds");
        runtime.spawn(server.serve(handler.clone()));
        Self {
            path,
            handler,
            _directory: directory,
            _runtime: runtime,
        }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a time-out");
        stream
    }

    /// What comes back until the agent hangs up.
    fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // The agent may hang up before it has read all.
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        reply
    }

    fn asked(&self) -> usize {
        self.handler.asked.load(Ordering::SeqCst)
    }

    /// That the agent still serves a good client, and at once.
    fn assert_serves(&self) {
        let start = Instant::now();
        let mut client = Client::connect(&self.path).expect("it listens");
        let response = client.ask(Request::Counters {}).expect("it answers");
        assert_eq!(response, Response::FlowsDeleted(FlowsDeleted { flows: 1 }));
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let socket = Socket::new();
    let mut client = Client::connect(&socket.path).expect("it listens");
    for _ in 0..3 {
        client.ask(Request::Counters {}).expect("it answers");
    }
    let error = client
        .ask(Request::RuleShow { name: "x".into() })
        .expect_err("it is refused");
    assert!(matches!(error, ClientError::Refused(failure) if failure.kind == FailureKind::NotFound));
    client
        .ask(Request::Counters {})
        .expect("a refusal does not end the connection");
    assert_eq!(socket.asked(), 5);
}

#[test]
fn garbage_is_answered_and_never_handled() {
    let socket = Socket::new();
    for garbage in [
        &b"\n"[..],
        b"hello\n",
        b"\xff\xfe\x00\x01\n",
        b"[]\n",
        b"{}\n",
        b"{\"version\":1}\n",
        b"{\"version\":1,\"request\":{}}\n",
        b"{\"version\":1,\"request\":\"status\"}\n",
        b"{\"version\":1,\"request\":{\"launch\":{}}}\n",
        b"{\"version\":1,\"request\":{\"rule-show\":{}}}\n",
        b"{\"version\":1,\"request\":{\"rule-show\":{\"name\":1}}}\n",
        b"{\"version\":1,\"request\":{\"flow-list\":{\"filter\":{\"port\":65536},\"limit\":1}}}\n",
        b"GET / HTTP/1.1\r\n",
    ] {
        let reply = socket.exchange(garbage);
        assert!(
            reply.contains("\"kind\":\"bad-request\""),
            "{}: {reply}",
            String::from_utf8_lossy(garbage)
        );
    }
    assert_eq!(socket.asked(), 0);
    socket.assert_serves();
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let socket = Socket::new();
    let reply = socket.exchange(format!("{}\n", "[".repeat(900)).as_bytes());
    assert!(reply.contains("bad-request"), "{reply}");
    socket.assert_serves();
}

#[test]
fn another_version_is_told_which_one_is_spoken() {
    let socket = Socket::new();
    for version in ["0", "2", "18446744073709551615"] {
        let request = format!("{{\"version\":{version},\"request\":{{\"a-thing-of-the-future\":{{}}}}}}\n");
        let reply = socket.exchange(request.as_bytes());
        assert!(reply.contains("\"kind\":\"version\""), "{reply}");
    }
    assert_eq!(socket.asked(), 0);
}

#[test]
fn an_oversized_request_is_cut_off() {
    let socket = Socket::new();
    let reply = socket.exchange(&vec![b'x'; 10_000_000]);
    assert!(
        reply.is_empty() || reply.contains("longer than 1000 bytes"),
        "{reply}"
    );
    let padded = format!(
        "{{\"version\":1,{}\"request\":{{\"counters\":{{}}}}}}\n",
        " ".repeat(1000)
    );
    assert!(
        socket
            .exchange(padded.as_bytes())
            .contains("longer than 1000 bytes")
    );
    assert_eq!(socket.asked(), 0);
    socket.assert_serves();
}

#[test]
fn half_a_request_is_not_handled() {
    let socket = Socket::new();
    let reply = socket.exchange(&STATUS.as_bytes()[..20]);
    assert!(reply.contains("ends before its end of line"), "{reply}");
    assert_eq!(socket.asked(), 0);
    socket.assert_serves();
}

#[test]
fn a_client_that_sends_byte_by_byte_is_dropped_in_time() {
    let socket = Socket::new();
    let mut slow = socket.connect();
    let start = Instant::now();
    for byte in STATUS.bytes() {
        if slow.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    let mut reply = String::new();
    let _ = slow.read_to_string(&mut reply);
    assert!(reply.contains("did not come within"), "{reply}");
    assert!(start.elapsed() < Duration::from_secs(4));
    assert_eq!(socket.asked(), 0);
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    let socket = Socket::new();
    let mut deaf = socket.connect();
    deaf.set_write_timeout(Some(Duration::from_secs(5)))
        .expect("a time-out");
    let start = Instant::now();
    // Its replies fill the socket's buffers, until the agent has waited long enough.
    while deaf.write_all(STATUS.repeat(100).as_bytes()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(30), "it is served for ever");
    }
    socket.assert_serves();
}

#[test]
fn too_many_clients_are_turned_away_and_there_is_room_again_when_they_go() {
    let socket = Socket::new();
    let crowd: Vec<Client> = (0..LIMITS.root_clients)
        .map(|_| following(&socket, EventFilter::default()))
        .collect();
    let mut client = Client::connect(&socket.path).expect("it listens");
    let error = client.ask(Request::Counters {}).expect_err("it is full");
    assert!(matches!(error, ClientError::Refused(failure) if failure.kind == FailureKind::Busy));
    drop(crowd);
    // Whoever is told of it by then is noticed to be gone.
    let _ = socket.handler.events.send(event("default", 0));
    std::thread::sleep(Duration::from_millis(200));
    socket.assert_serves();
}

#[test]
fn who_is_silent_makes_room_for_who_is_not_the_longest_silent_first() {
    let socket = Socket::new();
    let ask = |stream: &mut UnixStream| {
        let mut line = String::new();
        let written = stream.write_all(STATUS.as_bytes());
        written.is_ok() && matches!(BufReader::new(&*stream).read_line(&mut line), Ok(1..))
    };
    let mut crowd: Vec<UnixStream> = (0..LIMITS.root_clients)
        .map(|_| {
            let mut stream = socket.connect();
            assert!(ask(&mut stream));
            stream
        })
        .collect();
    let mut newcomer = socket.connect();
    assert!(ask(&mut newcomer), "it is served");
    assert!(
        !ask(&mut crowd[0]),
        "in the place of the one that was silent for longest"
    );
    assert!(crowd[1..].iter_mut().all(ask), "nobody else had to go");
}

#[test]
fn a_storm_of_clients_that_hang_up_leaves_no_trace() {
    let socket = Socket::new();
    for round in 0..300 {
        let mut stream = socket.connect();
        let _ = stream.write_all(&STATUS.as_bytes()[..round % STATUS.len()]);
    }
    std::thread::sleep(Duration::from_millis(400));
    socket.assert_serves();
}

#[test]
fn a_request_that_fails_inside_the_agent_hurts_nobody_else() {
    let socket = Socket::new();
    let mut client = Client::connect(&socket.path).expect("it listens");
    let error = client
        .ask(Request::RuleShow { name: "panic".into() })
        .expect_err("it fails");
    assert!(matches!(error, ClientError::Refused(failure) if failure.kind == FailureKind::Failed));
    client.ask(Request::Counters {}).expect("not even the client");
    socket.assert_serves();
}

#[test]
fn a_socket_that_a_dead_agent_left_is_replaced_and_a_living_one_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("it binds"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rules = AccessRules::new(&ControlSettings::default()).expect("no groups");
    let server = runtime
        .block_on(Server::bind(&path, rules, LIMITS))
        .expect("nobody serves it");
    let mode = std::fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o666);
    runtime
        .block_on(Server::bind(&path, rules, LIMITS))
        .expect_err("it is served");
    drop(server);
    assert!(!path.exists());
    std::fs::write(&path, "a file").expect("written");
    runtime
        .block_on(Server::bind(&path, rules, LIMITS))
        .expect_err("it is no socket");
    assert!(path.exists());
}

fn batch(client: &mut Client) -> Events {
    match client.next_answer().expect("there are more") {
        Response::Events(batch) => batch,
        other => panic!("{other:?}"),
    }
}

fn following(socket: &Socket, filter: EventFilter) -> Client {
    let mut client = Client::connect(&socket.path).expect("it listens");
    let response = client.ask(Request::EventFollow { filter, recent: 0 });
    assert_eq!(response.expect("it answers"), Response::Events(Events::default()));
    client
}

#[test]
fn events_are_sent_as_they_come_and_only_those_that_are_wanted() {
    let socket = Socket::new();
    let filter = EventFilter {
        reason: Some("banned".to_owned()),
        ..EventFilter::default()
    };
    let mut client = following(&socket, filter);
    for reason in ["default", "banned", "listed", "banned"] {
        socket
            .handler
            .events
            .send(event(reason, 10))
            .expect("it is followed");
    }
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(batch(&mut client).events);
    }
    assert!(seen.iter().all(|event| event.reason == "banned"), "{seen:?}");
    socket.assert_serves();
}

#[test]
fn a_reader_that_is_too_slow_loses_events_and_is_told_and_nobody_waits_for_it() {
    let socket = Socket::new();
    let mut slow = following(&socket, EventFilter::default());
    let start = Instant::now();
    let sent = 20_000;
    for _ in 0..sent {
        socket
            .handler
            .events
            .send(event("default", 1000))
            .expect("it is followed");
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "the sender waits for nobody"
    );
    socket.assert_serves();
    let (mut seen, mut lost) = (0, 0);
    while seen + lost < sent {
        let batch = batch(&mut slow);
        seen += batch.events.len() as u64;
        lost += batch.lost;
    }
    assert!(lost > 0 && seen >= QUEUE as u64, "{seen} seen, {lost} lost");
    assert_eq!(seen + lost, sent, "each one is seen or counted");
}
