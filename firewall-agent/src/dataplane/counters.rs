//! Counters, summed over CPUs.

use firewall_common::{
    counters::{Counter, Hook, Outcome, RuleCounter, interface_index, reason_index},
    reason::Reason,
};

/// All counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CounterSnapshot {
    /// By counter number.
    pub rules: Vec<RuleCounter>,
    /// By [`reason_index`].
    pub reasons: Vec<Counter>,
    /// By [`interface_index`].
    pub interfaces: Vec<Counter>,
    /// Events that found the ring buffer full.
    pub lost_events: u64,
}

impl CounterSnapshot {
    /// What a rule has done; zero for a number that does not exist.
    #[must_use]
    pub fn rule(&self, number: u16) -> RuleCounter {
        self.rules.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// Packets that a reason decided at a hook.
    #[must_use]
    pub fn reason(&self, hook: Hook, reason: Reason) -> Counter {
        at(&self.reasons, reason_index(hook, reason as u8))
    }

    /// Packets of an interface by its slot.
    #[must_use]
    pub fn interface(&self, slot: u8, hook: Hook, outcome: Outcome) -> Counter {
        at(&self.interfaces, interface_index(slot, hook, outcome))
    }
}

fn at(counters: &[Counter], index: u32) -> Counter {
    usize::try_from(index)
        .ok()
        .and_then(|index| counters.get(index))
        .copied()
        .unwrap_or_default()
}
