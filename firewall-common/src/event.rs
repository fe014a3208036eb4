//! Log events on their way to user space.

use bytemuck::{Pod, Zeroable};

/// One packet that a rule or a reason wanted logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Event {
    /// `bpf_ktime_get_ns` at the verdict.
    pub time_nanoseconds: u64,
    /// Source address: four or sixteen bytes in network order.
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// Interface index.
    pub interface: u32,
    /// Bytes of the packet from the link-level header on.
    pub length: u32,
    /// Counter number of the rule, or [`crate::verdict::NO_RULE`].
    pub rule: u16,
    /// Source port, or ICMP identifier.
    pub source_port: u16,
    /// Destination port, or ICMP type and code (`type << 8 | code`).
    pub destination_port: u16,
    /// `EtherType`.
    pub ether_type: u16,
    /// [`crate::reason::Reason`].
    pub reason: u8,
    /// [`crate::verdict::Verdict`].
    pub verdict: u8,
    /// [`crate::counters::Hook`].
    pub hook: u8,
    /// IP protocol.
    pub protocol: u8,
    /// 4, 6, or 0 where the packet is not IP.
    pub family: u8,
    /// TCP flags.
    pub tcp_flags: u8,
    /// Spare.
    pub reserved: u16,
}

/// Events that one drop reason may cause in each second.
pub const REASON_EVENTS_PER_SECOND: u16 = 10;

const _: () = assert!(size_of::<Event>() == 64);
