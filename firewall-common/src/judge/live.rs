//! The short way: one look-up, no helper, no rule.

use super::flows;
use crate::{
    control::SlotControl,
    counters::Hook,
    flow::{FlowKey, State, Table},
    headers::{FragmentKind, Headers, marks},
    plain::Plain,
    tables::Buckets,
    verdict::Decision,
    wire::{protocol, tcp},
};

/// The assured flows, and what a packet of one is measured by.
#[derive(Debug)]
pub struct LiveFlows<'a, A> {
    /// The table.
    pub table: Table<'a, A>,
    /// Settings of the slot in force.
    pub slot: &'a SlotControl,
    /// Secret of the table's hash.
    pub seed: &'a [u64; 4],
    /// The time.
    pub now_ticks: u32,
}

/// What the table of assured flows says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assured {
    /// The packet changes nothing but the time of a live flow, which this rule has let in.
    Live(u16),
    /// There is a flow of these ends, and more has to be looked at.
    Held,
    /// There is none.
    Unknown,
}

impl<A: Buckets> LiveFlows<'_, A> {
    /// What the table says; `acknowledges` is the acknowledgement number of an outgoing TCP segment.
    #[inline(always)]
    fn look_up(&self, key: &FlowKey, hash: u64, acknowledges: Option<u32>) -> Assured {
        // A segment in mid-flow most probably has a flow; a datagram is as likely one of a flood.
        let is_segment = key.protocol == protocol::TCP;
        let Some(found) = self.table.find_live(key.words(), hash, is_segment) else {
            return Assured::Unknown;
        };
        let flow = found.flow();
        let steady = if is_segment {
            matches!(flow.state, State::Established | State::HalfClosed)
        } else {
            matches!(flow.state, State::Replied | State::Echo | State::Other)
        };
        if !steady
            || found.epoch() != self.slot.epoch
            || flow.is_expired(self.now_ticks, &self.slot.timeouts_ticks)
            || flows::rule_ended(&found, self.now_ticks)
        {
            return Assured::Held;
        }
        if let Some(number) = acknowledges {
            found.acknowledge(number);
        }
        found.touch(self.now_ticks);
        Assured::Live(flow.rule)
    }

    /// As [`live`], for a plain packet of this hash. One that opens a connection is none of a live flow: the table is
    /// not asked.
    #[inline(always)]
    #[must_use]
    pub fn plain(&self, packet: &Plain, hash: u64, hook: Hook) -> Assured {
        if packet.opens {
            return Assured::Unknown;
        }
        let is_acknowledgement = matches!(hook, Hook::Egress) && packet.key.protocol == protocol::TCP;
        self.look_up(
            &packet.key,
            hash,
            is_acknowledgement.then_some(packet.tcp_acknowledgement),
        )
    }
}

/// The verdict on a packet of an assured flow that changes nothing but the time; `None` where more has to be looked
/// at.
#[inline(always)]
#[must_use]
pub fn live<A: Buckets>(live: &LiveFlows<'_, A>, headers: &Headers, hook: Hook) -> Option<Decision> {
    if headers.fragment != FragmentKind::Whole as u8 || headers.marked(marks::IPV4_OPTIONS) {
        return None;
    }
    if !flows::has_flow(headers) {
        return None;
    }
    let mut acknowledges = None;
    if headers.protocol == protocol::TCP {
        if headers.tcp_flags & (tcp::SYN | tcp::FIN | tcp::RST) != 0 {
            return None;
        }
        if matches!(hook, Hook::Egress) {
            acknowledges = Some(headers.tcp_acknowledgement);
        }
    }
    let key = FlowKey::of(headers, hook);
    match live.look_up(&key, key.hash(live.seed), acknowledges) {
        Assured::Live(rule) => Some(Decision::of_flow(rule)),
        Assured::Held | Assured::Unknown => None,
    }
}
