//! Damaged frames: whatever comes, nothing panics (arithmetic is checked in test builds), and every verdict has a
//! cause that fits it.

use firewall_common::{
    counters::Hook,
    reason::Reason,
    verdict::{NO_RULE, Verdict},
    wire::tcp::{ACK, SYN},
};
use firewall_tests::{
    engine::{Engine, Interface},
    frames::{Packet, Segment},
    host::{end, nets},
    random::{Random, seed},
};

use crate::{Host, NOISE_FRAMES, NOISE_REASONS};

pub(crate) const RULES: &str = r#"
[options]
allow_source_routing = true
allow_icmp_redirects = true
tcp_midflow_pickup = true

[[rule]]
name = "some"
allow = ["tcp/443", "udp/7000", "ping"]
from = "any"

[[rule]]
name = "others"
reject = "udp"
from = "any"
vlan = [10]
"#;

/// Sound frames of every shape, to be damaged.
pub(crate) fn sound() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for net in nets() {
        let (client, server) = (end(net.client, 40_000), end(net.server, 443));
        let syn = Packet::tcp(client, server, &Segment::new(SYN));
        let data = Packet::tcp(client, server, &Segment::new(ACK).data(30));
        let udp = Packet::udp(client, end(net.server, 7000), 600);
        let sent = Packet::tcp(server, client, &Segment::new(ACK).data(60));
        let error = Packet::icmp_error(net.router, net.server, (3, 4), (2, 0), &sent);
        frames.extend([syn.frame(), syn.tagged(&[10]), data.tagged(&[10, 20])]);
        frames.extend([
            udp.frame(),
            error.frame(),
            Packet::echo_request(net.client, net.server, 1).frame(),
        ]);
        frames.extend(udp.fragments(208).iter().map(Packet::frame));
        frames.push(syn.clone().options(&[7, 7, 4, 0, 0, 0, 0, 1, 131, 3, 4]).frame());
        frames.push(
            syn.extension(0, &[0, 5, 2, 0, 0, 1, 0])
                .extension(60, &[1; 15])
                .extension(51, &[1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1])
                .piece(0, true)
                .frame(),
        );
    }
    frames
}

/// Changes a few bytes or the length; most of the damage is done to the headers.
pub(crate) fn damage(frame: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let place = if random.percent(80) {
            random.below(80)
        } else {
            random.below(frame.len())
        };
        let byte = *random.pick(&[0, 1, 4, 6, 17, 43, 44, 51, 58, 60, 0x7f, 0x80, 0xff]);
        let byte = if random.percent(50) {
            byte
        } else {
            u8::try_from(random.below(256)).expect("a byte")
        };
        if let Some(damaged) = frame.get_mut(place) {
            *damaged = byte;
        }
    }
    match random.below(10) {
        0 => frame.truncate(1 + random.below(frame.len())),
        1 => frame.resize(frame.len() + random.below(100), 0x5a),
        _ => {}
    }
}

#[test]
fn damaged_frames_have_sound_verdicts() {
    let seed = seed();
    let mut random = Random::new(seed);
    let host = Host::new(RULES);
    let sound = sound();
    let mut counts = [0usize; 96];
    for number in 0..NOISE_FRAMES {
        let mut frame = random.pick(&sound).clone();
        damage(&mut frame, &mut random);
        let hook = *random.pick(&[Hook::Ingress, Hook::Egress]);
        let interface = if random.percent(95) {
            Interface::Eth0
        } else {
            Interface::Tunnel
        };
        if !host.engine.takes(&frame, hook) {
            continue;
        }
        let now_ticks = u32::try_from(number / 50).expect("some thousands");
        let decision = host.engine.judge(&frame, interface, hook, now_ticks);
        let by_rule = matches!(decision.reason, Reason::Rule | Reason::Default | Reason::Flow);
        assert_eq!(
            by_rule,
            decision.rule != NO_RULE,
            "seed {seed}: {decision:?} on {frame:02x?}"
        );
        if decision.reason != Reason::Rule {
            let passes = decision.verdict == Verdict::Pass;
            assert_eq!(
                passes,
                decision.reason.passes(),
                "seed {seed}: {decision:?} on {frame:02x?}"
            );
        }
        assert_ne!(decision.reason, Reason::Internal, "seed {seed}: {frame:02x?}");
        counts[decision.reason as usize] += 1;
    }
    let reasons = counts.iter().filter(|&&count| count > 0).count();
    assert!(
        reasons >= NOISE_REASONS,
        "seed {seed}: only {reasons} reasons were met, {counts:?}"
    );
}
