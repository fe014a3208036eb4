//! Per-CPU counters. Each CPU adds to its own copy; readers sum.

use bytemuck::{Pod, Zeroable};

use crate::reason::REASON_NUMBERS;

/// Packets and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes from the link-level header on.
    pub bytes: u64,
}

/// What one rule has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RuleCounter {
    /// Packets that the rule decided itself, and those that passed in flows which it had let in.
    pub packets: u64,
    /// Their bytes from the link-level header on.
    pub bytes: u64,
    /// Packets that the rule was evaluated for and matched: new flows, drops, rejects.
    pub matches: u64,
    /// Spare.
    pub reserved: u64,
}

/// Counter number of packets that no rule decided: the defaults, one for each direction.
pub const DEFAULT_COUNTERS: u16 = 3;

/// Side of the host that a packet was seen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Hook {
    /// XDP: packets that come in.
    Ingress = 0,
    /// tcx: packets that go out.
    Egress = 1,
}

/// What became of a packet, for the interface counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// It went on.
    Passed = 0,
    /// It was dropped.
    Dropped = 1,
    /// It was dropped and answered.
    Rejected = 2,
}

/// Number of [`Outcome`]s, with room.
pub const OUTCOMES: u32 = 4;

/// Place of a reason's counter.
#[inline(always)]
#[must_use]
pub const fn reason_index(hook: Hook, reason: u8) -> u32 {
    hook as u32 * REASON_NUMBERS as u32 + reason as u32
}

/// Place of an interface's counter; `slot` is [`crate::interface::InterfaceRecord::slot`].
#[inline(always)]
#[must_use]
pub const fn interface_index(slot: u8, hook: Hook, outcome: Outcome) -> u32 {
    (slot as u32 * 2 + hook as u32) * OUTCOMES + outcome as u32
}

/// Entries of the reason counters.
pub const REASON_ENTRIES: u32 = 2 * REASON_NUMBERS as u32;
/// Entries of the interface counters.
pub const INTERFACE_ENTRIES: u32 = crate::interface::INTERFACE_SLOTS as u32 * 2 * OUTCOMES;
