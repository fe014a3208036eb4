//! Policies without rules, and how they get into force.

use firewall_agent::{
    compile::compile,
    dataplane::{Dataplane, KernelDataplane, LoadedSlot, SlotImage, image_digest},
    policy::model::{Action, Defaults, Failsafe, Forwarded, PolicySettings, Timers, ValidPolicy},
};
use firewall_common::{
    cell::{Cell, Mode},
    image::Block,
};

/// A policy without rules.
pub(crate) fn policy(input: Action, output: Action) -> ValidPolicy {
    ValidPolicy {
        role: "test".into(),
        host: None,
        settings: PolicySettings {
            defaults: Defaults {
                input,
                output,
                forward: Action::Drop,
            },
            timers: Timers::default(),
            interfaces: vec!["eth*".to_owned()],
            forwarded: Forwarded::default(),
            tcp_midflow_pickup: false,
            keep_live_flows: false,
            allow_icmp_redirects: false,
            allow_source_routing: false,
            allowed_ether_types: Vec::new(),
        },
        failsafe: Failsafe::default(),
        rules: Vec::new(),
        lists: Vec::new(),
    }
}

pub(crate) fn blocks(policy: &ValidPolicy) -> Vec<Block> {
    let bound = compile(policy).unwrap().bind(&|_| 0, []).unwrap();
    bound.blocks().to_vec()
}

pub(crate) fn load(dataplane: &mut KernelDataplane, policy: &ValidPolicy) -> LoadedSlot {
    let blocks = blocks(policy);
    let image = SlotImage {
        blocks: &blocks,
        timers: policy.settings.timers,
    };
    let loaded = dataplane.load_generation(&image, &[]).unwrap();
    assert_eq!(loaded.digest, image_digest(&blocks));
    loaded
}

pub(crate) fn enforce(dataplane: &mut KernelDataplane, policy: &ValidPolicy) -> LoadedSlot {
    let loaded = load(dataplane, policy);
    dataplane.switch(cell(loaded.slot, loaded.slot)).unwrap();
    loaded
}

pub(crate) const fn cell(slot: u8, fallback: u8) -> Cell {
    Cell {
        slot,
        fallback,
        mode: Mode::Normal,
        deadline_ticks: None,
    }
}

pub(crate) fn allow_all() -> ValidPolicy {
    policy(Action::Allow, Action::Allow)
}

pub(crate) fn out_only() -> ValidPolicy {
    policy(Action::Drop, Action::Allow)
}
