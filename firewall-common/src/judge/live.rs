//! The short way: one look-up, no helper, no rule.

use super::flows;
use crate::{
    control::SlotControl,
    counters::Hook,
    flow::{FlowKey, State, Table},
    headers::{FragmentKind, Headers, marks},
    reason::Reason,
    tables::Buckets,
    verdict::{Decision, Verdict},
    wire::{protocol, tcp},
};

/// The verdict on a packet of an assured flow that changes nothing but the time; `None` where more has to be looked
/// at.
#[inline(always)]
#[must_use]
pub fn live<A: Buckets>(
    table: &Table<'_, A>,
    slot: &SlotControl,
    seed: &[u64; 4],
    now_ticks: u32,
    headers: &Headers,
    hook: Hook,
) -> Option<Decision> {
    if headers.fragment != FragmentKind::Whole as u8 || headers.marked(marks::IPV4_OPTIONS) {
        return None;
    }
    if !flows::has_flow(headers) {
        return None;
    }
    let key = FlowKey::of(headers, hook);
    let found = table.find(key.words(), key.hash(seed))?;
    let flow = found.flow();
    if found.epoch() != slot.epoch
        || flow.is_expired(now_ticks, &slot.timeouts_ticks)
        || flows::rule_expired(found.expires_ticks(), now_ticks)
    {
        return None;
    }
    if headers.protocol == protocol::TCP {
        let plain = headers.tcp_flags & (tcp::SYN | tcp::FIN | tcp::RST) == 0;
        if !plain || !matches!(flow.state, State::Established | State::HalfClosed) {
            return None;
        }
        if matches!(hook, Hook::Egress) {
            found.acknowledge(headers.tcp_acknowledgement);
        }
    } else if !matches!(flow.state, State::Replied | State::Echo | State::Other) {
        return None;
    }
    found.touch(now_ticks);
    Some(Decision {
        verdict: Verdict::Pass,
        reason: Reason::Flow,
        rule: flow.rule,
        log_per_second: 0,
    })
}
