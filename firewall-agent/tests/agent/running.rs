//! The daemon as a whole, on a kernel in memory: its tasks, its socket and its signals.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use firewall_agent::{
    control::{
        client::Client,
        protocol::{Request, Response, Status},
    },
    daemon::run,
    dataplane::{Dataplane, fake::FakeKernel},
};
use nix::{
    sys::signal::{Signal, kill, raise},
    unistd::Pid,
};

use crate::host::Host;

fn status(host: &Host) -> Option<Status> {
    let mut client = Client::connect(&host.path("control.sock")).ok()?;
    match client.ask(Request::Status {}) {
        Ok(Response::Status(status)) => Some(*status),
        _ => None,
    }
}

fn wait_for(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One test, since signals reach the whole process.
#[test]
fn the_daemon_follows_interfaces_and_signals() {
    // What is amiss around the filtering must not keep the host from being filtered.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let monitoring = taken.local_addr().expect("it listens");
    let host = Host::new()
        .with_settings(&format!("[metrics]\nlisten = \"{monitoring}\"\n"))
        .with_control("operators = \"no-such-group-here\"\n");
    let (settings, dataplane) = (host.settings(), Box::new(host.kernel.dataplane()));
    let daemon = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(run(settings, dataplane))
    });
    wait_for("the control socket", Duration::from_secs(10), || {
        status(&host).is_some()
    });

    let notes = || {
        status(&host)
            .map(|status| status.notes.join("\n"))
            .unwrap_or_default()
    };
    wait_for("the notes", Duration::from_secs(5), || {
        notes().contains("no-such-group-here") && notes().contains(&monitoring.to_string())
    });
    drop(taken);
    wait_for("the second try", Duration::from_secs(20), || {
        TcpStream::connect(monitoring).is_ok()
    });
    wait_for("the note to go", Duration::from_secs(5), || {
        !notes().contains(&monitoring.to_string())
    });

    let interfaces = || status(&host).map_or(0, |status| status.interfaces.len());
    assert_eq!(interfaces(), 1);
    host.kernel.add_link(FakeKernel::link(3, "eth1"));
    wait_for("the new interface", Duration::from_secs(5), || interfaces() == 2);
    host.kernel.remove_link("eth0");
    wait_for("the interface to go", Duration::from_secs(5), || {
        interfaces() == 1
    });

    host.append(
        "web.toml",
        "\n[[rule]]\nname = \"more\"\nallow = \"tcp/8080\"\nfrom = \"management\"\n",
    );
    raise(Signal::SIGHUP).expect("it is sent");
    let rules = || status(&host).map_or(0, |status| status.rules);
    wait_for("the reload", Duration::from_secs(5), || rules() == 4);

    raise(Signal::SIGTERM).expect("it is sent");
    daemon.join().expect("it does not panic").expect("it ends well");
    assert!(status(&host).is_none());
    assert!(!host.path("control.sock").exists());
    let mut kernel = host.kernel.dataplane();
    kernel.adopt_or_create().expect("it opens");
    assert_eq!(kernel.interfaces().len(), 1, "what was in force stays in force");
}

/// Set where this program is to be a daemon for [`systemd_is_told_how_the_daemon_is`].
const BE_A_DAEMON: &str = "TEST_BE_A_DAEMON";

/// Not a test by itself: the process that the next test starts.
#[test]
fn a_daemon_for_the_next_test() {
    if std::env::var_os(BE_A_DAEMON).is_none() {
        return;
    }
    let host = Host::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let daemon = run(host.settings(), Box::new(host.kernel.dataplane()));
    runtime.block_on(daemon).expect("it ends well");
}

#[test]
fn systemd_is_told_how_the_daemon_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("it binds");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time-out");
    let mut daemon = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "running::a_daemon_for_the_next_test"])
        .env(BE_A_DAEMON, "1")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000")
        .env_remove("WATCHDOG_PID")
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    let next = |wanted: &str| {
        let mut message = [0; 1024];
        loop {
            let length = socket.recv(&mut message).expect("it is told in time");
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    next("READY=1");
    next("WATCHDOG=1");
    next("WATCHDOG=1");
    let pid = i32::try_from(daemon.id()).expect("a process number");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it is there");
    next("STOPPING=1");
    assert!(daemon.wait().expect("it ends").success());
}
