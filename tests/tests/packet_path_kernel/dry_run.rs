//! The variant of the programs that explanations ask says what the programs themselves say next, and writes nothing.

use firewall_common::{counters::Hook, reason::Reason};
use firewall_tests::{
    engine::{Engine, InKernel, Interface},
    host::nets,
    random::{Random, seed},
};

use crate::{
    Host,
    noise::{RULES, damage, sound},
};

const FRAMES: usize = 3000;
/// Frames between two looks at all maps.
const BETWEEN_LOOKS: usize = 150;
/// Frames between two judgements: what was let in before one is judged again.
const BETWEEN_JUDGEMENTS: usize = 100;

/// A dry run that has changed no byte of any map.
fn dry_run_without_a_trace(engine: &InKernel, frame: &[u8], hook: Hook, now_ticks: u32) {
    // The bench sets the clock.
    let _ = engine.dry_run(frame, Interface::Eth0, hook, now_ticks);
    let before = engine.map_contents();
    let _ = engine.dry_run(frame, Interface::Eth0, hook, now_ticks);
    let after = engine.map_contents();
    for (name, contents) in &before {
        assert!(
            after.get(name) == Some(contents),
            "{name} was changed at {hook:?} by {frame:02x?}"
        );
    }
    assert_eq!(before.len(), after.len());
}

#[test]
fn dry_runs_say_what_comes_and_leave_no_trace() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut host = Host::new(RULES);
    let sound = sound();
    let mut reasons = [0usize; 96];
    let mut again = 0;
    for number in 0..FRAMES {
        if number % BETWEEN_JUDGEMENTS == 0 {
            // The flows are judged again. One of the bans is one of the packets'; it ends after a while.
            let banned = [nets()[0].client, nets()[1].client, nets()[0].other];
            let until = host.after(1);
            host.engine.ban(*random.pick(&banned), until);
            host.wait(1 + u32::try_from(random.below(3)).expect("seconds"));
        }
        let mut frame = random.pick(&sound).clone();
        if random.percent(40) {
            damage(&mut frame, &mut random);
        }
        let hook = *random.pick(&[Hook::Ingress, Hook::Egress]);
        if !host.engine.takes(&frame, hook) {
            continue;
        }
        let now_ticks = host.after(0);
        if number % BETWEEN_LOOKS == 0 {
            dry_run_without_a_trace(&host.engine, &frame, hook, now_ticks);
        }
        let dry = host.engine.dry_run(&frame, Interface::Eth0, hook, now_ticks);
        let judged = host.engine.judge(&frame, Interface::Eth0, hook, now_ticks);
        assert_eq!(
            dry, judged,
            "seed {seed}, frame {number} at {hook:?}: {frame:02x?}"
        );
        reasons[judged.reason as usize] += 1;
        let is_first = number % BETWEEN_JUDGEMENTS < 10;
        again += usize::from(is_first && judged.reason == Reason::Flow);
    }
    let met = reasons.iter().filter(|count| **count > 0).count();
    assert!(met > 15, "seed {seed}: {met} reasons, {reasons:?}");
    assert!(
        again > 10,
        "seed {seed}: {again} packets of flows that were judged again"
    );
    // What the check looks at does change by a packet that is no rehearsal.
    let before = host.engine.map_contents();
    let _ = host
        .engine
        .judge(&sound[0], Interface::Eth0, Hook::Ingress, host.after(0));
    assert_ne!(before, host.engine.map_contents());
}
