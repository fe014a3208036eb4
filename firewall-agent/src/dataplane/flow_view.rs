//! Flows as `fwctl` and metrics see them.

use std::time::Duration;

use firewall_common::flow::{Flow, FlowKey, Found, Timeouts};

use super::ClockReading;

/// Which table a flow lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowTable {
    /// Both sides have taken part; never evicted.
    Assured,
    /// Half-open, unreplied.
    Half,
}

/// A live flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowView {
    /// Where it lies.
    pub table: FlowTable,
    /// What identifies it.
    pub key: FlowKey,
    /// State, flags, rule and time.
    pub flow: Flow,
    /// Since its last packet.
    pub idle: Duration,
    /// Since its first packet, or since it was taken over.
    pub age: Duration,
    /// Until it ends if no packet comes.
    pub remaining: Duration,
    /// Number of the judgement that it last passed.
    pub epoch: u32,
    /// Its rule has ended by itself since: the rules that are left decide on its next packet, and its place is taken
    /// where another flow needs it.
    pub rule_ended: bool,
}

impl FlowView {
    /// Of a flow in a table, unless it has expired.
    #[must_use]
    pub fn of(
        table: FlowTable,
        key: FlowKey,
        found: &Found<'_>,
        clock: &ClockReading,
        timeouts: &Timeouts,
    ) -> Option<Self> {
        let (view, is_live) = Self::live_or_ended(table, key, found, clock, timeouts);
        is_live.then_some(view)
    }

    /// Of a flow that lies in a table, and whether it lives: one that has ended lies there until its place is needed.
    #[must_use]
    pub fn live_or_ended(
        table: FlowTable,
        key: FlowKey,
        found: &Found<'_>,
        clock: &ClockReading,
        timeouts: &Timeouts,
    ) -> (Self, bool) {
        let flow = found.flow();
        let rule_ended = found.expires_ticks() != 0 && clock.until(found.expires_ticks()).is_zero();
        let is_live = !flow.is_expired(clock.now_ticks, timeouts);
        let timeout = timeouts.get(flow.state as usize).copied().unwrap_or_default();
        let view = Self {
            table,
            key,
            flow,
            idle: clock.since(flow.seen_ticks),
            age: clock.since(found.opened_ticks()),
            remaining: clock.until(flow.seen_ticks.wrapping_add(timeout)),
            epoch: found.epoch(),
            rule_ended,
        };
        (view, is_live)
    }
}
