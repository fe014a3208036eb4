//! Who reads slowly, or not any more, does no harm.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::UdpSocket,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Stdio},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use firewall_tests::wait::wait_until;
use nix::{
    sys::signal::{SigHandler, Signal, kill, signal},
    unistd::Pid,
};
use serde_json::Value;

use crate::site::{SERVER, STRANGER, Site, WEB};

/// Drops that are all logged.
const NOISE: &str = "\n[[rule]]\nname = \"noise\"\ndrop = \"udp/9\"\nfrom = \"any\"\nlog = \"60000/s\"\n";

/// More than the agent, the socket and a pipe keep together.
const FLOOD: usize = 40_000;

/// How long a command takes until it is on, or has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much more an agent may have in memory behind a flood that nobody has read.
const MOST_KIB: u64 = 24 << 10;

/// A command whose output is read when the test says so; ended where a test fails.
struct Slow(Child);

impl Slow {
    fn start(site: &Site, words: &str) -> Self {
        let mut command = site.command(words);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A suite that a shell has put into the background has interrupts ignored, and hands that on.
        // SAFETY: sets a disposition, which is all that the child does before it becomes the command.
        unsafe {
            command.pre_exec(|| {
                signal(Signal::SIGINT, SigHandler::SigDfl)?;
                Ok(())
            });
        }
        Self(command.spawn().expect("it runs"))
    }

    /// Nobody reads it any more.
    fn close(&mut self) {
        drop(self.0.stdout.take());
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a process number"));
        kill(pid, signal).expect("it is there");
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)))
    }

    /// The exit code, or the signal that has ended it.
    fn end(&mut self) -> (Option<i32>, Option<i32>) {
        assert!(wait_until(PATIENCE, || self.has_ended()), "it does not end");
        let status = self.0.wait().expect("it has ended");
        (status.code(), status.signal())
    }

    fn complaints(&mut self) -> String {
        let mut stderr = self.0.stderr.take().expect("a pipe");
        std::io::read_to_string(&mut stderr).expect("text")
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn noisy() -> Site {
    let site = Site::started();
    site.write("web.toml", &format!("{WEB}{NOISE}"));
    site.said("reload");
    site
}

fn flood(site: &Site, packets: usize) {
    site.peer.run(|| {
        let socket = UdpSocket::bind((STRANGER, 0)).expect("an address of the peer");
        for packet in 0..packets {
            let _ = socket.send_to(b"noise", (SERVER, 9));
            // The agent has to read the events, or the kernel side leaves them out.
            if packet % 200 == 0 {
                sleep(Duration::from_millis(5));
            }
        }
    });
}

/// What the agent has in memory.
fn resident_kib(site: &Site) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", site.agent_id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.expect("a line").parse().expect("a number")
}

/// Commands that follow this agent's events.
fn followers(site: &Site) -> usize {
    let socket = site.socket.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").expect("it is mounted").flatten();
    let lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    let is_one = |line: &String| {
        let mut words = line.split('\0');
        words.next() == Some(env!("CARGO_BIN_EXE_suite-fwctl"))
            && line.contains(&socket)
            && words.any(|word| word == "--follow")
    };
    lines.filter(is_one).count()
}

/// Whether the agent answers as quickly as ever.
fn answers(site: &Site) -> bool {
    let begun = Instant::now();
    site.fwctl("status").code == Some(0) && begun.elapsed() < Duration::from_secs(3)
}

fn watches(site: &Site) -> usize {
    site.json("status")["watches"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_reader_that_reads_nothing_loses_events_and_is_told_and_harms_nobody() {
    let site = noisy();
    // What it keeps for those who read at once is in the figure.
    flood(&site, FLOOD / 10);
    let before = resident_kib(&site);
    let mut slow = Slow::start(&site, "events --follow --json --rule noise");
    let mut other = Slow::start(&site, "events --follow --json --count 100 --rule noise");
    // A terminal that stands still, since nobody reads what it shows.
    let terminal = format!(
        "{} --socket {} events --follow",
        env!("CARGO_BIN_EXE_suite-fwctl"),
        site.socket.display()
    );
    let mut command = site.server.command("script");
    command.args(["--quiet", "--return", "--command", &terminal, "/dev/null"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut still = Slow(command.spawn().expect("util-linux is there"));
    sleep(Duration::from_millis(500));
    scope(|scope| {
        let fast = scope.spawn(|| {
            let lines = BufReader::new(other.0.stdout.take().expect("a pipe")).lines();
            lines.map_while(Result::ok).count()
        });
        flood(&site, FLOOD);
        assert!(fast.join().expect("it ends") >= 100, "who reads is served");
    });
    assert_eq!(other.end(), (Some(0), None));
    assert!(answers(&site), "it waits for nobody");
    let after = resident_kib(&site);
    assert!(after < before + MOST_KIB, "{before} KiB, then {after} KiB");

    // Who reads on is told what it has missed, and gets what comes then.
    assert!(!slow.has_ended(), "it has patience");
    let mut lines = BufReader::new(slow.0.stdout.take().expect("a pipe")).lines();
    let mut lost = 0;
    for line in lines.by_ref().map_while(Result::ok) {
        let value: Value = serde_json::from_str(&line).expect("JSON");
        if let Some(count) = value["lost"].as_u64() {
            lost = count;
            break;
        }
        assert_eq!(value["rule"], "noise");
    }
    assert!(lost > 0, "it has missed some, and is told");
    drop(lines);
    assert_eq!(slow.end(), (Some(0), None));
    assert_eq!(slow.complaints(), "");
    // The terminal goes away, and what it showed with it.
    assert_eq!(followers(&site), 1, "it waits for its terminal");
    still.0.kill().expect("it is there");
    assert!(
        wait_until(PATIENCE, || followers(&site) == 0),
        "it goes on without one"
    );
}

#[test]
fn whoever_closes_the_pipe_ends_the_command_at_once_though_nothing_comes() {
    let site = noisy();
    let commands = [
        ("events --follow", 0),
        ("learn", 1),
        ("capture -o -", 1),
        ("counters --watch --json", 0),
    ];
    for (words, looks) in commands {
        let mut slow = Slow::start(&site, words);
        assert!(wait_until(PATIENCE, || watches(&site) == looks), "{words}");
        sleep(Duration::from_millis(500));
        assert!(!slow.has_ended(), "{words}: it is not over");
        slow.close();
        assert_eq!(slow.end(), (Some(0), None), "{words}");
        assert_eq!(slow.complaints(), "", "{words}");
        assert!(
            wait_until(PATIENCE, || watches(&site) == 0),
            "{words}: the agent goes on"
        );
    }
    // A run says by its exit code what it has found, whether it is read or not.
    let candidate = site.path("web.toml");
    fs::write(&candidate, WEB.replace("\"any\"", "\"203.0.113.0/24\"")).expect("ours");
    let _site = site.listen(443);
    let mut slow = Slow::start(&site, &format!("shadow {} --for 2s", candidate.display()));
    let _kept = site.connect(STRANGER, 443).expect("the site is open");
    slow.close();
    assert_eq!(slow.end(), (Some(1), None), "it is not clean");
    // What is said besides has nobody to hear it.
    let mut slow = Slow::start(&site, "learn --for 1s");
    drop(slow.0.stderr.take());
    let draft = std::io::read_to_string(slow.0.stdout.take().expect("a pipe")).expect("text");
    assert!(draft.contains("layer = "), "{draft}");
    assert_eq!(slow.end(), (Some(0), None));
}

#[test]
fn an_interrupt_ends_a_command_that_nobody_reads() {
    let site = noisy();
    for (words, looks) in [("events --follow", 0), ("shadow --for 1h", 1)] {
        let mut slow = Slow::start(&site, words);
        assert!(wait_until(PATIENCE, || watches(&site) == looks), "{words}");
        sleep(Duration::from_millis(500));
        slow.signal(Signal::SIGINT);
        // A shell makes 130 of it.
        assert_eq!(slow.end(), (None, Some(Signal::SIGINT as i32)), "{words}");
        assert!(
            wait_until(PATIENCE, || watches(&site) == 0),
            "{words}: the agent goes on"
        );
    }
    // The first one is for what is to be finished, which here cannot be; the second ends it.
    let mut slow = Slow::start(&site, "capture -o - --rate 10000 --snap-length 2048 --rule noise");
    assert!(wait_until(PATIENCE, || watches(&site) == 1));
    sleep(Duration::from_millis(500));
    flood(&site, 20_000);
    assert!(answers(&site));
    slow.signal(Signal::SIGINT);
    sleep(Duration::from_secs(1));
    assert!(!slow.has_ended(), "what it writes is not taken");
    slow.signal(Signal::SIGINT);
    assert_eq!(slow.end(), (Some(130), None));
    assert!(wait_until(PATIENCE, || watches(&site) == 0), "the agent goes on");
    site.said(&format!(
        "capture --for 1s -o {}",
        site.path("next.pcapng").display()
    ));

    // One that is read again goes on, and says for how long nothing was captured.
    let mut slow = Slow::start(&site, "capture -o - --rate 10000 --snap-length 2048 --for 1h");
    assert!(wait_until(PATIENCE, || watches(&site) == 1));
    sleep(Duration::from_millis(500));
    flood(&site, 20_000);
    sleep(Duration::from_secs(13));
    let mut stdout = slow.0.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    sleep(Duration::from_secs(2));
    slow.signal(Signal::SIGINT);
    assert_eq!(slow.end(), (Some(0), None));
    assert!(reader.join().expect("it ends").expect("it reads") > 1 << 20);
    let said = slow.complaints();
    assert!(
        said.contains("nothing captured for") && said.contains("since nobody took it"),
        "{said}"
    );
}
