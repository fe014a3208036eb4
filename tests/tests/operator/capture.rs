//! Dropped packets as a capture, and who may have it.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, SystemTime},
};

use firewall_tests::wait::wait_until;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pcap_parser::{
    Block, PcapBlockOwned, PcapNGReader,
    pcapng::OptionCode,
    traits::{PcapNGPacketBlock, PcapReaderIterator},
};
use serde_json::Value;

use crate::site::{MANAGER, SERVER, STRANGER, Site, WEB};

/// How long a capture takes until it is on.
const START: Duration = Duration::from_secs(10);

const BLOCKED: &str = "
[[rule]]
name = \"no-telnet\"
drop = \"tcp/23\"
from = \"any\"

[[rule]]
name = \"no-ident\"
reject = \"tcp/113\"
from = \"any\"

[[rule]]
name = \"no-mail\"
drop = \"tcp/25\"
to = \"any\"
";

/// A packet of a capture.
#[derive(Debug)]
struct Packet {
    interface: String,
    comment: String,
    /// 1 in, 2 out.
    flags: u32,
    captured: usize,
    length: u32,
    /// Seconds since 1970.
    at: u64,
    bytes: Vec<u8>,
}

impl Packet {
    fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.bytes[36], self.bytes[37]])
    }
}

fn packets(file: &Path) -> Vec<Packet> {
    let bytes = fs::read(file).expect("a capture");
    let mut reader = PcapNGReader::new(1 << 20, &*bytes).expect("a section");
    let (mut names, mut packets) = (Vec::new(), Vec::new());
    while let Ok((consumed, block)) = reader.next() {
        match block {
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
                let name = block
                    .options
                    .iter()
                    .find(|option| option.code == OptionCode::IfName);
                names.push(name.expect("a name").as_str().expect("text").to_owned());
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let option = |code| block.options.iter().find(|option| option.code == code);
                let flags = option(OptionCode(2)).expect("flags").value.first().copied();
                let time = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                packets.push(Packet {
                    interface: names[block.if_id as usize].clone(),
                    comment: option(OptionCode::Comment)
                        .expect("a comment")
                        .as_str()
                        .expect("text")
                        .to_owned(),
                    flags: flags.expect("flags").into(),
                    captured: block.packet_data().len(),
                    length: block.origlen,
                    at: time / 1_000_000_000,
                    bytes: block.packet_data().to_vec(),
                });
            }
            _ => {}
        }
        reader.consume(consumed);
    }
    packets
}

/// A capture under way; ended where a test fails.
struct Capture(Option<Child>);

impl Capture {
    /// Waits until it is on: the file has its first block then.
    fn start(site: &Site, name: &str, words: &str) -> Self {
        let file = site.path(name);
        let mut command = site.server.command(env!("CARGO_BIN_EXE_suite-fwctl"));
        command
            .arg("--socket")
            .arg(&site.socket)
            .arg("capture")
            .args(words.split_whitespace())
            .arg("-o")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().expect("it runs");
        let capture = Self(Some(child));
        let is_on = wait_until(START, || fs::metadata(&file).is_ok_and(|file| file.len() > 0));
        assert!(is_on, "the capture does not begin:\n{}", site.log());
        capture
    }

    /// What it says when it has ended by itself.
    fn said(mut self) -> String {
        let child = self.0.take().expect("running");
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// The same after an interrupt.
    fn interrupted(self) -> String {
        let child = self.0.as_ref().expect("running");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process number"));
        kill(pid, Signal::SIGINT).expect("it is there");
        self.said()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn what_is_dropped_is_in_the_capture_with_its_rule_and_what_passes_is_not() {
    let site = Site::started();
    let _site = site.listen(443);
    site.write("web.toml", &format!("{WEB}{BLOCKED}"));
    site.said("reload");
    assert_eq!(site.json("status")["watches"], Value::Null, "nobody looks");
    let capture = Capture::start(&site, "all.pcapng", "");
    let other = site.fwctl("capture --for 1s -o /dev/null/x");
    assert_eq!(other.code, Some(1), "one at a time: {other:?}");
    assert!(other.stderr.contains("is capturing"), "{other:?}");

    let watch = &site.json("status")["watches"][0];
    assert_eq!(
        (&watch["kind"], &watch["by"]["uid"]),
        (&"capture".into(), &0.into()),
        "{watch}"
    );
    assert_eq!(watch["capture"]["snap_bytes"], 256, "{watch}");
    assert_eq!(watch["seconds_left"], Value::Null, "{watch}");

    let _passed = site.connect(STRANGER, 443).expect("the site is open");
    for port in [23, 113, 8080] {
        assert!(site.connect(STRANGER, port).is_none());
    }
    let mail = SocketAddr::new(STRANGER.parse().expect("an address"), 25);
    let sent = site
        .server
        .run(|| TcpStream::connect_timeout(&mail, Duration::from_millis(200)));
    assert!(sent.is_err(), "the server sends no mail");
    let said = capture.interrupted();
    assert!(said.contains("packets captured"), "{said}");
    assert_eq!(
        site.json("status")["watches"],
        Value::Null,
        "nobody looks any more"
    );

    let file = site.path("all.pcapng");
    let mode = fs::metadata(&file).expect("there").mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner alone");
    let packets = packets(&file);
    let of_port = |port: u16| {
        let is_it = |packet: &&Packet| packet.flags == 1 && packet.destination_port() == port;
        let comments = packets.iter().filter(is_it).map(|packet| packet.comment.as_str());
        comments.collect::<BTreeSet<_>>()
    };
    assert_eq!(
        of_port(23),
        BTreeSet::from(["drop: reason rule, rule no-telnet (web.toml:9)"])
    );
    assert_eq!(
        of_port(113),
        BTreeSet::from(["reject: reason rule, rule no-ident (web.toml:14)"])
    );
    assert_eq!(
        of_port(8080),
        BTreeSet::from(["drop: reason default, rule (default in)"])
    );
    let mut out = packets.iter().filter(|packet| packet.flags == 2);
    let mail = out.next().expect("what goes out is in it, too");
    assert_eq!(mail.destination_port(), 25);
    assert_eq!(mail.comment, "drop: reason rule, rule no-mail (web.toml:19)");
    assert_eq!(of_port(443), BTreeSet::new(), "what passes is not in it");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("it is later").as_secs();
    for packet in &packets {
        assert_eq!(packet.interface, "eth0");
        assert_eq!(packet.captured, packet.length as usize, "they are short");
        assert!(now.abs_diff(packet.at) < 120, "{packet:?}");
    }
}

#[test]
fn a_filter_leaves_out_a_bound_holds_and_without_a_capture_nothing_is_handed_on() {
    let mut site = Site::started();
    site.write("web.toml", &format!("{WEB}{BLOCKED}"));
    site.said("reload");
    // Nothing of what was dropped before is in it.
    assert!(site.connect(STRANGER, 23).is_none());
    let words = "--rule no-telnet --count 2 --snap-length 40";
    let capture = Capture::start(&site, "two.pcapng", words);
    let status = site.said("status");
    assert!(
        status.contains("watched by") && status.contains(": rule no-telnet, 2 packets, 40 bytes of each"),
        "{status}"
    );
    assert!(site.connect(STRANGER, 8080).is_none());
    for _ in 0..3 {
        assert!(site.connect(STRANGER, 23).is_none());
    }
    let said = capture.said();
    assert!(said.starts_with("2 packets captured"), "{said}");
    let two = packets(&site.path("two.pcapng"));
    assert_eq!(two.len(), 2);
    for packet in &two {
        assert!(
            packet.comment.contains("rule no-telnet (web.toml:9)"),
            "{packet:?}"
        );
        assert_eq!(packet.captured, 40, "cut, and said to be");
        assert!(packet.length > 40, "{packet:?}");
    }

    // A flood over the rate is counted, not captured; the short way of first packets hands on, too.
    site.said(&format!("ban {STRANGER}"));
    let capture = Capture::start(&site, "rate.pcapng", "--reason banned --rate 5 --for 2s");
    site.peer.run(|| {
        let socket = std::net::UdpSocket::bind((STRANGER, 0)).expect("an address of the peer");
        for _ in 0..200 {
            let _ = socket.send_to(b"flood", (SERVER, 9999));
        }
    });
    let said = capture.said();
    let flood = packets(&site.path("rate.pcapng"));
    assert!((1..=15).contains(&flood.len()), "{}: {said}", flood.len());
    assert!(said.contains("left out (see --rate)"), "{said}");
    assert!(
        flood.iter().all(|packet| packet.comment == "drop: reason banned"),
        "{flood:?}"
    );

    let taken = site.settings.display();
    for (words, code, hint) in [
        (
            "capture --rule nobody -o x".to_owned(),
            1,
            "there is no rule `nobody`",
        ),
        (
            "capture --interface nobody0 -o x".to_owned(),
            1,
            "there is no interface",
        ),
        (format!("capture --for 1s -o {taken}"), 2, "cannot write"),
    ] {
        let refused = site.fwctl(&words);
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(refused.stderr.contains(hint), "{refused:?}");
    }

    // The agent dies, and the kernel side ends the capture by itself: the agent is not there to extend it.
    let capture = Capture::start(&site, "dead.pcapng", "--rule no-telnet");
    site.said(&format!("unban {STRANGER}"));
    site.end(Signal::SIGKILL);
    drop(capture);
    assert!(site.connect(MANAGER, 23).is_none(), "it filters on");
    site.start();
    let capture = Capture::start(&site, "after.pcapng", "--for 1s");
    capture.said();
    assert!(
        packets(&site.path("after.pcapng")).is_empty(),
        "nothing is left over"
    );
}
