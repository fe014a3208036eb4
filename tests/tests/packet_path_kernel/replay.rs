//! Replays by the kernel's programs and in user space say the same of every packet: of a capture of two hosts that talk
//! over HTTP, DNS, echo and fragments (88 packets, cut at 200 bytes), and of damaged frames at random times.

use std::{io::Cursor, thread};

use firewall_agent::{
    engine::Sizes,
    policy::model::ValidPolicy,
    replay::{Captured, Directions, KernelEngine, Outcome, Replay, Replayed, Unusable, read},
    trial::{Subject, Way},
};
use firewall_common::verdict::Verdict;
use firewall_tests::{
    host::policy,
    random::{Random, seed},
};

use crate::noise::{RULES, damage, sound};

const CAPTURE: &[u8] = include_bytes!("../../captures/web.pcap");
/// The host that the capture is of.
const LOCAL: [&str; 2] = ["10.77.2.10", "fd77:2::10"];
/// Bytes of an Ethernet header: the kernel runs no program on less.
const LINK_BYTES: usize = 14;
const ETHERNET: i32 = 1;
const FRAMES: usize = 10_000;
const SIZES: Sizes = Sizes {
    buckets: 1024,
    list_blocks: 4096,
};

/// A packet that outlives its capture.
struct Packet {
    time_nanoseconds: u64,
    wire_bytes: u32,
    way: Option<Way>,
    bytes: Vec<u8>,
}

fn captured() -> Vec<Packet> {
    let mut packets = Vec::new();
    let whole = read(Cursor::new(CAPTURE), &mut |captured| {
        packets.push(Packet {
            time_nanoseconds: captured.time_nanoseconds,
            wire_bytes: captured.wire_bytes,
            way: captured.way,
            bytes: captured.bytes.to_vec(),
        });
        true
    });
    whole.expect("a whole capture");
    packets
}

fn damaged(count: usize, random: &mut Random) -> Vec<Packet> {
    let (sound, mut time_nanoseconds) = (sound(), 1_900_000_000_000_000_000);
    let mut packets = Vec::new();
    for _ in 0..count {
        let mut bytes = random.pick(&sound).clone();
        if random.percent(70) {
            damage(&mut bytes, random);
        }
        // Now and then long enough for flows to end.
        let most = if random.percent(1) { 400_000 } else { 100 };
        time_nanoseconds += u64::try_from(random.below(most)).expect("a time") * 1_000_000;
        packets.push(Packet {
            time_nanoseconds,
            wire_bytes: u32::try_from(bytes.len()).expect("a frame"),
            way: Some(*random.pick(&[Way::In, Way::Out])),
            bytes,
        });
    }
    packets
}

fn subject(policy: ValidPolicy) -> Subject {
    let mut subject = Subject::of_policy(policy, Some("eth0"), SIZES).expect("a policy");
    for address in LOCAL {
        subject.add_local(address.parse().expect("an address"));
    }
    subject
}

fn replay(text: &str, is_stateless: bool) -> Replay {
    let directions = Directions::Auto {
        local: LOCAL
            .map(|address| address.parse::<std::net::IpAddr>().expect("an address").into())
            .to_vec(),
        forwards: false,
    };
    Replay::new(subject(policy(text)), directions, is_stateless)
}

fn by_kernel(text: &str, is_stateless: bool, place: u8) -> Replay {
    let replay = replay(text, is_stateless);
    let local = LOCAL.map(|address| address.parse().expect("an address"));
    let engine = KernelEngine::start(replay.subject(), SIZES, &local, is_stateless, place);
    replay.by(engine.expect("root may load programs"))
}

fn outcome(replay: &mut Replay, number: usize, packet: &Packet) -> Outcome {
    let outcome = replay.packet(&Captured {
        number: u64::try_from(number).expect("a number"),
        time_nanoseconds: packet.time_nanoseconds,
        link: ETHERNET,
        wire_bytes: packet.wire_bytes,
        way: packet.way,
        bytes: &packet.bytes,
    });
    outcome.expect("a judged packet")
}

/// How many packets passed, were dropped, and were not run.
fn compare(kernel: &mut Replay, memory: &mut Replay, packets: &[Packet], seed: u64) -> [usize; 3] {
    let mut counts = [0; 3];
    for (number, packet) in packets.iter().enumerate() {
        let expected = outcome(memory, number, packet);
        let told = outcome(kernel, number, packet);
        if told.replayed == Replayed::Unusable(Unusable::NotRun) {
            let is_at_egress = told.way == Some(Way::Out);
            assert!(
                packet.bytes.len() < LINK_BYTES || is_at_egress,
                "{:02x?}",
                packet.bytes
            );
            counts[2] += 1;
            continue;
        }
        assert_eq!(
            told, expected,
            "seed {seed}, packet {number}: {:02x?}",
            packet.bytes
        );
        if let Replayed::Judged(judged) = &told.replayed {
            counts[usize::from(judged.verdict != Verdict::Pass)] += 1;
        }
    }
    counts
}

#[test]
fn replays_by_kernel_and_memory_agree_on_every_packet() {
    let work = thread::spawn(|| {
        KernelEngine::isolate().expect("root may make namespaces");
        let seed = seed();
        let mut random = Random::new(seed);
        let (real, noise) = (captured(), damaged(FRAMES, &mut random));
        assert_eq!(real.len(), 88);

        let (mut kernel, mut memory) = (by_kernel(RULES, false, 0), replay(RULES, false));
        let [passed, dropped, not_run] = compare(&mut kernel, &mut memory, &real, seed);
        assert!(
            passed > 50 && dropped > 5 && not_run == 0,
            "{passed} {dropped} {not_run}"
        );
        let [passed, dropped, not_run] = compare(&mut kernel, &mut memory, &noise, seed);
        assert!(
            passed > FRAMES / 10 && dropped > FRAMES / 10,
            "{passed} {dropped}"
        );
        assert!(not_run < FRAMES / 20, "{not_run} of {FRAMES} could not be run");

        // A policy that one of the two does not have is noticed.
        let mut other = replay(&RULES.replace("\"tcp/443\", ", ""), false);
        let later = captured().into_iter().map(|packet| Packet {
            time_nanoseconds: 1_990_000_000_000_000_000 + packet.time_nanoseconds % 1_000_000_000_000,
            ..packet
        });
        let differing = later.enumerate().filter(|(number, packet)| {
            outcome(&mut kernel, *number, packet).replayed != outcome(&mut other, *number, packet).replayed
        });
        assert!(differing.count() > 20);

        let (mut kernel, mut memory) = (by_kernel(RULES, true, 1), replay(RULES, true));
        let stateless = compare(&mut kernel, &mut memory, &real, seed);
        assert!(stateless[0] > 30, "{stateless:?}");
        compare(&mut kernel, &mut memory, &noise, seed);
    });
    if let Err(panic) = work.join() {
        std::panic::resume_unwind(panic);
    }
}
