//! Dropped packets on their way to whoever captures them, out of the programs themselves.

use std::time::Duration;

use firewall_agent::dataplane::{CaptureFilter, CaptureReasons};
use firewall_common::{
    capture::{SNAP_BYTES, Viewer},
    counters::Hook,
    reason::Reason,
    verdict::Verdict,
    wire::tcp::{ACK, SYN},
};
use firewall_tests::{
    engine::Interface,
    frames::{Packet, Segment},
    host::{end, nets},
};

use crate::Host;

const RULES: &str = r#"
[[rule]]
name = "web"
allow = "tcp/443"
from = "any"

[[rule]]
name = "no-telnet"
drop = "tcp/23"
from = "any"

[[rule]]
name = "no-ident"
reject = "tcp/113"
from = "any"
"#;

const TIME: Duration = Duration::from_secs(10);

fn filter() -> CaptureFilter {
    CaptureFilter {
        snap_bytes: SNAP_BYTES,
        per_second: 1000,
        packets: u64::MAX,
        ..CaptureFilter::default()
    }
}

/// A segment from the client at a hook.
fn segment(port: u16, flags: u8, data: usize) -> Vec<u8> {
    let [net, _] = nets();
    let segment = Segment::new(flags).data(data);
    Packet::tcp(end(net.client, 40_000), end(net.server, port), &segment).frame()
}

fn run(host: &Host, frame: &[u8], after: u32) {
    let _ = host
        .engine
        .run(frame, Interface::Eth0, Hook::Ingress, host.after(after));
}

#[test]
fn whatever_is_dropped_is_captured_whole_on_the_short_way_and_the_long_one() {
    let host = Host::new(RULES);
    let dropped = [
        (segment(23, SYN, 0), Verdict::Drop, Reason::Rule),
        (segment(444, ACK, 900), Verdict::Drop, Reason::TcpNoState),
        (segment(113, SYN, 0), Verdict::Reject, Reason::Rule),
        // Out of the parser; too long for the room, and in more than one piece.
        (
            segment(22, SYN, 5000)[..5040].to_vec(),
            Verdict::Drop,
            Reason::MalformedIp,
        ),
        (segment(22, SYN, 5000), Verdict::Drop, Reason::Default),
        (
            segment(22, SYN, 0).split_at(30).0.to_vec(),
            Verdict::Drop,
            Reason::TruncatedIp,
        ),
    ];
    host.engine
        .start_capture(Viewer::Capture, filter(), host.after(0), TIME);
    let (_, before) = host.engine.captured(Viewer::Capture);
    run(&host, &segment(443, SYN, 0), 0);
    for (frame, verdict, reason) in &dropped {
        run(&host, frame, 0);
        let (captured, _) = host.engine.captured(Viewer::Capture);
        let [one] = &*captured else {
            panic!("{reason:?}: {captured:?}")
        };
        assert_eq!(one.head.cause.reason, *reason as u8, "{reason:?}");
        assert_eq!(one.head.cause.verdict, *verdict as u8, "{reason:?}");
        assert_eq!(one.head.length as usize, frame.len(), "{reason:?}");
        let kept = frame.len().min(SNAP_BYTES as usize);
        assert_eq!(
            one.bytes,
            frame[..kept],
            "{reason:?}: as it came, before any answer"
        );
    }
    let (rest, after) = host.engine.captured(Viewer::Capture);
    assert!(rest.is_empty(), "what passes is not captured");
    assert_eq!(after.captured - before.captured, dropped.len() as u64);
    assert_eq!((after.limited, after.lost), (before.limited, before.lost));
}

#[test]
fn without_a_capture_and_after_its_time_nothing_is_handed_on() {
    let host = Host::new(RULES);
    let frame = segment(23, SYN, 0);
    host.engine
        .start_capture(Viewer::Capture, filter(), host.after(0), TIME);
    host.engine.end_capture(Viewer::Capture);
    host.engine
        .start_capture(Viewer::Capture, filter(), host.after(0), TIME);
    let (_, before) = host.engine.captured(Viewer::Capture);
    run(&host, &frame, 9);
    assert_eq!(
        host.engine.captured(Viewer::Capture).1.captured,
        before.captured + 1
    );
    // Nobody has drawn it out: the kernel side ends it by itself.
    run(&host, &frame, 11);
    let (frames, after) = host.engine.captured(Viewer::Capture);
    assert!(frames.is_empty() && after.captured == before.captured + 1);
    assert_eq!(after.limited, before.limited, "nor is it looked at");
}

#[test]
fn filters_and_bounds_hold_in_the_kernel() {
    let host = Host::new(RULES);
    let (telnet, other, ident) = (segment(23, SYN, 0), segment(24, SYN, 0), segment(113, SYN, 0));
    let captures = |filter: CaptureFilter, frames: &[&Vec<u8>]| {
        host.engine
            .start_capture(Viewer::Capture, filter, host.after(0), TIME);
        let (_, before) = host.engine.captured(Viewer::Capture);
        for frame in frames {
            run(&host, frame, 0);
        }
        let (frames, after) = host.engine.captured(Viewer::Capture);
        (frames, after.limited - before.limited)
    };
    let all = [&telnet, &other, &ident];
    let of_default = CaptureFilter {
        reasons: CaptureReasons::One(Reason::Default),
        ..filter()
    };
    let (frames, limited) = captures(of_default, &all);
    assert_eq!((frames.len(), limited), (1, 0));
    assert_eq!(frames[0].bytes, other);
    let rule = frames[0].head.cause.rule;
    let (frames, _) = captures(
        CaptureFilter {
            rules: vec![rule],
            ..filter()
        },
        &all,
    );
    assert_eq!(frames.len(), 1);
    let (frames, limited) = captures(
        CaptureFilter {
            hook: Some(Hook::Egress),
            ..filter()
        },
        &all,
    );
    assert_eq!((frames.len(), limited), (0, 0));
    let many: Vec<&Vec<u8>> = std::iter::repeat_n(&telnet, 9).collect();
    let (frames, limited) = captures(
        CaptureFilter {
            per_second: 4,
            snap_bytes: 20,
            ..filter()
        },
        &many,
    );
    assert_eq!((frames.len(), limited), (4, 5), "in a second");
    assert!(frames.iter().all(|frame| frame.bytes == telnet[..20]));
    let (frames, limited) = captures(
        CaptureFilter {
            packets: 2,
            ..filter()
        },
        &many,
    );
    assert_eq!((frames.len(), limited), (2, 7), "in all");
}

#[test]
fn two_viewers_take_nothing_from_each_other() {
    let host = Host::new(RULES);
    let (telnet, other, stray) = (segment(23, SYN, 0), segment(24, SYN, 0), segment(444, ACK, 0));
    let of_policy = CaptureFilter {
        reasons: CaptureReasons::Policy,
        snap_bytes: 60,
        ..filter()
    };
    let one = CaptureFilter {
        per_second: 1,
        ..filter()
    };
    host.engine
        .start_capture(Viewer::Capture, one, host.after(0), TIME);
    host.engine
        .start_capture(Viewer::Shadow, of_policy, host.after(0), TIME);
    let before = [Viewer::Capture, Viewer::Shadow].map(|viewer| host.engine.captured(viewer).1);
    for frame in [&stray, &telnet, &other] {
        run(&host, frame, 0);
    }
    let (captured, counts) = host.engine.captured(Viewer::Capture);
    assert_eq!(captured.len(), 1, "its own rate");
    assert_eq!(captured[0].bytes, stray);
    assert_eq!(counts.limited - before[0].limited, 2);
    let (sampled, counts) = host.engine.captured(Viewer::Shadow);
    let bytes: Vec<&Vec<u8>> = sampled.iter().map(|frame| &frame.bytes).collect();
    assert_eq!(bytes, [&telnet, &other], "what no policy decides is not in it");
    assert_eq!(counts.captured - before[1].captured, 2);
    // The one ends, and the other goes on.
    host.engine.end_capture(Viewer::Capture);
    run(&host, &telnet, 0);
    assert_eq!(host.engine.captured(Viewer::Shadow).0.len(), 1);
    host.engine.end_capture(Viewer::Shadow);
    host.engine
        .start_capture(Viewer::Capture, filter(), host.after(0), TIME);
    run(&host, &telnet, 0);
    assert_eq!(host.engine.captured(Viewer::Capture).0.len(), 1);
}

#[test]
fn one_in_so_many_is_taken_by_chance_and_the_others_are_counted() {
    const PACKETS: u64 = 600;
    let host = Host::new(RULES);
    let telnet = segment(23, SYN, 0);
    let filter = CaptureFilter { every: 4, ..filter() };
    host.engine
        .start_capture(Viewer::Shadow, filter, host.after(0), TIME);
    let (_, before) = host.engine.captured(Viewer::Shadow);
    for _ in 0..PACKETS {
        run(&host, &telnet, 0);
    }
    let (frames, after) = host.engine.captured(Viewer::Shadow);
    let (captured, skipped) = (after.captured - before.captured, after.skipped - before.skipped);
    assert_eq!(frames.len() as u64, captured);
    assert_eq!(captured + skipped, PACKETS, "each is in one of the counts");
    // 150 are expected; a fair sample is as far off as this once in a million runs.
    assert!((95..=205).contains(&captured), "{captured}");
}
