//! Verdicts on first fragments, kept for the pieces that follow.

use bytemuck::{Pod, Zeroable};

use crate::address::Address;

/// What reassembly keys a datagram by (RFC 791 3.2, RFC 8200 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct FragmentKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Identification.
    pub identification: u32,
    /// IP protocol (IPv4); zero for IPv6, whose reassembly does not look at it.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// [`crate::counters::Hook`].
    pub hook: u8,
    /// Spare.
    pub reserved: u8,
}

/// The verdict on a first fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FragmentRecord {
    /// When it was made, in ticks.
    pub made_ticks: u32,
    /// Counter number of the deciding rule, or [`crate::verdict::NO_RULE`].
    pub rule: u16,
    /// Bytes of the first fragment's payload; a later piece that starts before is an overlap.
    pub first_bytes: u16,
    /// 1 where the first fragment passed.
    pub passed: u32,
    /// The policy epoch of the verdict; of another epoch it is void.
    pub epoch: u32,
}

/// How long a verdict is kept: the longest that reassembly may take (RFC 8200 4.5: 60 s; Linux keeps 30 s for IPv4).
pub const FRAGMENT_SECONDS: u32 = 60;

/// Later fragments without a first that a source may send in each second.
pub const ORPHANS_PER_SOURCE: u32 = 128;
/// The same for all sources together.
pub const ORPHANS_TOTAL: u32 = 4096;
