//! `fwctl replay`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    pcap::{Packet, tcp, write_pcap, write_pcapng},
    run::{Ended, fwctl},
};

const LB: &str = "10.77.1.10:40000";
const WEB: &str = "10.77.2.10:443";
const STRANGER: &str = "203.0.113.7:51000";
const POLICY: &str = "--policy rules --host web-1";
const SYN: u8 = 2;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;

/// A connection that the policy allows, and a knock that it does not.
fn conversation() -> Vec<Packet> {
    vec![
        tcp(0, LB, WEB, SYN),
        tcp(1, WEB, LB, SYN_ACK),
        tcp(2, LB, WEB, ACK),
        tcp(3, STRANGER, WEB, SYN),
        tcp(4, STRANGER, WEB, ACK),
        tcp(5, WEB, STRANGER, SYN_ACK),
    ]
}

struct Capture {
    _directory: TempDir,
    path: PathBuf,
}

impl Capture {
    fn new(write: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("capture");
        write(&path);
        Self {
            _directory: directory,
            path,
        }
    }

    fn of(packets: &[Packet]) -> Self {
        Self::new(|path| write_pcap(path, 1, packets))
    }

    fn replay(&self, words: &str) -> Ended {
        fwctl(&format!("replay {} {words}", self.path.display()))
    }

    /// Each packet's verdict and reason, and the totals.
    fn verdicts(&self, words: &str) -> (Vec<(String, String)>, Value) {
        let ended = self.replay(&format!("{words} --json"));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let lines = ended.stdout.lines().map(serde_json::from_str);
        let mut values: Vec<Value> = lines.collect::<Result<_, _>>().expect("JSON lines");
        let totals = values.pop().expect("totals come last");
        let text = |value: &Value| value.as_str().expect("a word").to_owned();
        let verdicts = values
            .iter()
            .map(|value| (text(&value["verdict"]), text(&value["reason"])))
            .collect();
        (verdicts, totals["totals"].clone())
    }
}

fn reasons(verdicts: &[(String, String)]) -> Vec<&str> {
    verdicts.iter().map(|(_, reason)| &**reason).collect()
}

#[test]
fn a_conversation_is_judged_packet_by_packet() {
    let ended = Capture::of(&conversation()).replay(&format!("{POLICY} --local 10.77.2.10"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    insta::assert_snapshot!(ended.stdout);
}

#[test]
fn a_capture_may_say_which_way_its_packets_went() {
    let packets: Vec<_> = conversation()
        .into_iter()
        .enumerate()
        .map(|(index, packet)| (packet, index == 1 || index == 5))
        .collect();
    let (marked, _) = Capture::new(|path| write_pcapng(path, &packets)).verdicts(POLICY);
    let (told, _) = Capture::of(&conversation()).verdicts(&format!("{POLICY} --local 10.77.2.0/24"));
    assert_eq!(marked, told);
    let silent = Capture::of(&conversation()).replay(POLICY);
    assert_eq!(silent.code, Some(2));
    assert!(silent.stderr.contains("--local"), "{silent:?}");
}

#[test]
fn the_times_of_the_capture_are_the_clock() {
    let later = |hours: u64| {
        let mut packets = conversation();
        packets.truncate(3);
        packets.push(tcp(hours * 3_600_000, LB, WEB, ACK));
        let (verdicts, _) = Capture::of(&packets).verdicts(&format!("{POLICY} --local 10.77.2.10"));
        verdicts.last().expect("there are four").1.clone()
    };
    assert_eq!(later(23), "flow");
    assert_eq!(later(25), "tcp-no-state");
}

#[test]
fn what_the_snap_length_cut_is_not_malformed() {
    let words = format!("{POLICY} --direction in");
    let cut = Capture::of(&[
        tcp(0, STRANGER, WEB, SYN).cut(1000, 54),
        tcp(1, STRANGER, WEB, SYN).cut(1000, 40),
        tcp(2, STRANGER, WEB, SYN).cut(1000, 13),
    ]);
    let (verdicts, totals) = cut.verdicts(&words);
    assert_eq!(reasons(&verdicts), ["rule", "cut", "cut"]);
    assert_eq!(
        (&totals["cut"], &totals["cut_behind_headers"]),
        (&2.into(), &1.into())
    );
    // The same bytes, where there were not more.
    let mut short = tcp(1, STRANGER, WEB, SYN).cut(1000, 40);
    short.wire_bytes = 40;
    let (verdicts, totals) = Capture::of(&[short]).verdicts(&words);
    assert_eq!(reasons(&verdicts), ["malformed-ip"]);
    assert_eq!(totals["cut"], 0);
}

#[test]
fn without_state_each_packet_is_the_first_of_its_connection() {
    let (verdicts, _) =
        Capture::of(&conversation()).verdicts(&format!("{POLICY} --local 10.77.2.10 --stateless"));
    assert_eq!(
        reasons(&verdicts),
        ["rule", "default", "rule", "rule", "rule", "default"]
    );
}

#[test]
fn links_without_ethernet_are_understood() {
    let expected = Capture::of(&conversation())
        .verdicts(&format!("{POLICY} --local 10.77.2.10"))
        .0;
    let bare: Vec<Packet> = conversation()
        .into_iter()
        .map(|mut packet| {
            packet.bytes.drain(..14);
            packet.wire_bytes -= 14;
            packet
        })
        .collect();
    let raw = Capture::new(|path| write_pcap(path, 101, &bare));
    assert_eq!(raw.verdicts(&format!("{POLICY} --local 10.77.2.10")).0, expected);
    let cooked: Vec<Packet> = bare
        .into_iter()
        .enumerate()
        .map(|(index, mut packet)| {
            let kind = if index == 1 || index == 5 { 4 } else { 0 };
            let header = [0, kind, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
            packet.bytes.splice(..0, header);
            packet.wire_bytes += header.len();
            packet
        })
        .collect();
    let cooked = Capture::new(|path| write_pcap(path, 113, &cooked));
    assert_eq!(cooked.verdicts(POLICY).0, expected);
    let unknown = Capture::new(|path| write_pcap(path, 105, &conversation()));
    let (verdicts, totals) = unknown.verdicts(&format!("{POLICY} --direction in"));
    assert!(
        reasons(&verdicts).iter().all(|reason| *reason == "link"),
        "{verdicts:?}"
    );
    assert_eq!(totals["other_links"], 6);
}

#[test]
fn two_policies_are_compared() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, port: u16| {
        let path = directory.path().join(name);
        let text = format!(
            "layer = \"role web\"\ninterfaces = [\"eth*\"]\n\n[[rule]]\nname = \"site\"\nallow = \"tcp/{port}\"\nfrom = \"any\"\n"
        );
        std::fs::write(&path, text).expect("written");
        path
    };
    let (old, new) = (write("old.toml", 443), write("new.toml", 8443));
    let capture = Capture::of(&conversation());
    let diff = |old: &Path, new: &Path| {
        capture.replay(&format!(
            "--diff {} {} --local 10.77.2.10 --quiet",
            old.display(),
            new.display()
        ))
    };
    let changed = diff(&old, &new);
    assert_eq!(changed.code, Some(1), "{changed:?}");
    assert!(changed.stdout.contains("pass -> drop: "), "{changed:?}");
    let same = diff(&old, &old);
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.stdout.contains("0 packets change their verdict"), "{same:?}");
}

#[test]
fn files_that_are_no_captures_are_refused_and_half_ones_said_to_be() {
    let none = Capture::new(|path| std::fs::write(path, "layer = \"base\"\n").expect("written"));
    let ended = none.replay(POLICY);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("neither a pcap nor a pcapng"), "{ended:?}");
    assert_eq!(ended.stdout, "", "there is nothing to sum up");
    let half = Capture::of(&conversation());
    let bytes = std::fs::read(&half.path).expect("there");
    std::fs::write(&half.path, &bytes[..bytes.len() - 10]).expect("written");
    let ended = half.replay(&format!("{POLICY} --local 10.77.2.10"));
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("in the middle of a block, after packet 5"),
        "{ended:?}"
    );
    assert!(
        ended.stdout.contains("\n5 packets\n"),
        "what could be read is judged: {ended:?}"
    );
    assert_eq!(fwctl("replay nowhere.pcap --policy rules").code, Some(2));
}
