//! Kernel and memory say the same of every frame, in the same order, at the same time.

use firewall_common::{counters::Hook, flow::State};
use firewall_tests::{
    engine::{Engine, InMemory, Interface},
    random::{Random, seed},
};

use crate::{
    Host, NOISE_FRAMES,
    noise::{RULES, damage, sound},
};

/// States in the order of their numbers, since the tables are walked in the order of their secrets.
fn sorted(mut states: Vec<State>) -> Vec<State> {
    states.sort_by_key(|state| *state as u8);
    states
}

#[test]
fn damaged_frames_are_judged_alike() {
    let seed = seed();
    let mut random = Random::new(seed);
    let (mut kernel, mut memory) = (
        Host::new(RULES),
        firewall_tests::host::Host::<InMemory>::new(RULES),
    );
    let sound = sound();
    let mut passed = 0;
    for number in 0..NOISE_FRAMES {
        let mut frame = random.pick(&sound).clone();
        // Sound ones among them open the flows that damaged ones meet.
        if random.percent(70) {
            damage(&mut frame, &mut random);
        }
        let hook = *random.pick(&[Hook::Ingress, Hook::Egress]);
        let interface = *random.pick(&[
            Interface::Eth0,
            Interface::Eth0,
            Interface::Eth1,
            Interface::Unnamed,
        ]);
        if !kernel.engine.takes(&frame, hook) {
            continue;
        }
        if number % 100 == 0 {
            kernel.wait(1);
            memory.wait(1);
        }
        let expected = memory.frame_on(interface, &frame, hook);
        let told = kernel.frame_on(interface, &frame, hook);
        assert_eq!(
            told, expected,
            "seed {seed}, frame {number} at {hook:?}: {frame:02x?}"
        );
        passed += usize::from(told.starts_with("pass"));
    }
    assert!(passed > NOISE_FRAMES / 10, "seed {seed}: {passed} have passed");
    let now = [kernel.states(), memory.states()].map(sorted);
    assert!(!now[0].is_empty());
    // Memory shows expired flows, too.
    assert!(now[0].len() <= now[1].len(), "seed {seed}: {now:?}");
}
