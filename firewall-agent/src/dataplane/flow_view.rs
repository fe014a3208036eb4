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
        let flow = found.flow();
        let rule_ended = found.expires_ticks() != 0 && clock.until(found.expires_ticks()).is_zero();
        if flow.is_expired(clock.now_ticks, timeouts) || rule_ended {
            return None;
        }
        let timeout = timeouts.get(flow.state as usize).copied().unwrap_or_default();
        Some(Self {
            table,
            key,
            flow,
            idle: clock.since(flow.seen_ticks),
            age: clock.since(found.opened_ticks()),
            remaining: clock.until(flow.seen_ticks.wrapping_add(timeout)),
            epoch: found.epoch(),
        })
    }
}
