//! The firewall of the suite's host: the real dataplane, without an agent.

use firewall_agent::dataplane::{
    AttachMode, AttachRequest, CounterSnapshot, Dataplane, KernelDataplane, KernelSettings, Rehearsing,
    SlotImage,
};
use firewall_agent::settings::TableSettings;
use firewall_common::{
    cell::{Cell, Mode},
    counters::{Counter, Hook},
    reason::Reason,
    verdict::NO_RULE,
};
use firewall_tests::{
    host::bind,
    mounts::{self, PINS, STATE},
};

/// More than any test has rules.
const RULES: u16 = 32;

/// A dataplane, and the numbers of all rules that it ever had.
pub(crate) struct Firewall {
    dataplane: KernelDataplane,
    names: Vec<String>,
}

/// Counters of one test, since its policy was put in force.
#[derive(Debug)]
pub(crate) struct Since {
    before: CounterSnapshot,
}

impl Firewall {
    /// Loads the programs and attaches them to `eth0`, for a thread in the host's network namespace.
    pub(crate) fn new() -> Self {
        mounts::enter();
        let mut dataplane = KernelDataplane::new(KernelSettings {
            pin_directory: PINS.into(),
            state_directory: STATE.into(),
            tables: TableSettings {
                flows: 4096,
                half_open_flows: 4096,
                rule_counters: 256,
                bans: 64,
                list_blocks: 4096,
            },
            clock_from_cell: false,
            rehearsing: Rehearsing::No,
        });
        dataplane.adopt_or_create().expect("the dataplane loads");
        let mut firewall = Self {
            dataplane,
            names: vec!["default".to_owned(); 3],
        };
        let _ = firewall.enforce("");
        firewall.attach(false);
        firewall
    }

    /// Attaches to `eth0`; with `needs_vlan_tags`, so that no tag is hidden.
    pub(crate) fn attach(&mut self, needs_vlan_tags: bool) {
        let links = self.dataplane.links().expect("links");
        let link = links
            .iter()
            .find(|link| link.name == "eth0")
            .expect("an interface");
        let attached = self.dataplane.attach(&AttachRequest {
            link,
            mode: AttachMode::Native,
            needs_vlan_tags,
        });
        assert_eq!(attached.expect("it can be attached to").slot, 1);
    }

    /// Takes the programs off `eth0`, and restores what attaching has changed.
    pub(crate) fn detach(&mut self) {
        assert!(self.dataplane.detach("eth0").expect("it can be detached from"));
    }

    /// Puts a policy in force; live flows go on, judged by it.
    pub(crate) fn switch(&mut self, rules: &str) {
        let (blocks, timers) = bind(rules, &mut self.names);
        let image = SlotImage {
            blocks: &blocks,
            timers,
        };
        let loaded = self
            .dataplane
            .load_generation(&image, &[])
            .expect("the image loads");
        let cell = Cell {
            slot: loaded.slot,
            fallback: loaded.slot,
            mode: Mode::Normal,
            deadline_ticks: None,
        };
        self.dataplane.switch(cell).expect("it is loaded");
    }

    /// Puts a policy in force on a host without flows.
    pub(crate) fn enforce(&mut self, rules: &str) -> Since {
        self.dataplane.delete_flows(&mut |_| true).expect("flow tables");
        self.switch(rules);
        self.dataplane.sync_local_addresses().expect("addresses");
        self.dataplane.delete_flows(&mut |_| true).expect("flow tables");
        Since {
            before: self.dataplane.counters(RULES).expect("counters"),
        }
    }

    /// Packets that a rule has decided about, and those of them that no flow of it let pass.
    pub(crate) fn by_rule(&self, since: &Since, rule: &str) -> (u64, u64) {
        let place = self.names.iter().position(|name| name == rule);
        let number = place.map_or(NO_RULE, |place| u16::try_from(place).expect("a number"));
        let now = self.dataplane.counters(RULES).expect("counters");
        let (now, before) = (now.rule(number), since.before.rule(number));
        (now.packets - before.packets, now.matches - before.matches)
    }

    /// Packets that a reason has decided about at a hook.
    pub(crate) fn by_reason(&self, since: &Since, hook: Hook, reason: Reason) -> u64 {
        let now = self.dataplane.counters(RULES).expect("counters");
        let Counter { packets, .. } = now.reason(hook, reason);
        packets - since.before.reason(hook, reason).packets
    }

    /// Ends all flows.
    pub(crate) fn kill_flows(&mut self) -> u64 {
        self.dataplane.delete_flows(&mut |_| true).expect("flow tables")
    }
}
