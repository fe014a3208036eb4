//! What the programs know of an interface.

use bytemuck::{Pod, Zeroable};

/// Attached interfaces that have counters and a place in the policy of their own. Slot 0 stands for all others.
pub const INTERFACE_SLOTS: usize = 64;

/// Entries of the interface table, a power of two; an interface stands at its index modulo this, or shortly after.
pub const INTERFACE_ENTRIES: u32 = 1024;

/// How many places after its own an interface is looked for.
pub const INTERFACE_PROBES: u32 = 4;

/// What a frame starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet = 0,
    /// An IP header: tunnels and other devices without a link-level header.
    RawIp = 1,
}

/// One attached interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct InterfaceRecord {
    /// Interface index; zero marks a free place.
    pub index: u32,
    /// 1 to 63: place of its counters, and of its bit vector in the image. Zero is the unnamed interface.
    pub slot: u8,
    /// [`LinkType`].
    pub link_type: u8,
    /// Spare.
    pub reserved: u16,
}
