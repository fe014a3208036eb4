//! What a [`Host`](crate::host::Host) judges with: the packet path over collections, or the real eBPF programs.
//!
//! One suite of scenarios runs over both.

mod in_kernel;
mod in_memory;

use std::net::IpAddr;

use firewall_agent::{
    dataplane::{FlowTable, SlotImage},
    prefix_set::{Change, Members},
};
use firewall_common::{
    cell::Cell,
    control::ClockScale,
    counters::Hook,
    flow::State,
    interface::LinkType,
    reason::Reason,
    verdict::{Decision, Verdict},
};

pub use in_kernel::InKernel;
pub use in_memory::InMemory;

/// The interfaces of every host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// One that no agent has attached: it has no name in any policy.
    Unnamed,
    /// `eth0`
    Eth0,
    /// `eth1`
    Eth1,
    /// `tun0`, whose frames are bare IP packets.
    Tunnel,
}

impl Interface {
    /// Those that are attached.
    pub const ATTACHED: [Self; 3] = [Self::Eth0, Self::Eth1, Self::Tunnel];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unnamed => "other0",
            Self::Eth0 => "eth0",
            Self::Eth1 => "eth1",
            Self::Tunnel => "tun0",
        }
    }

    /// Its place in images and counters.
    #[must_use]
    pub const fn slot(self) -> u8 {
        match self {
            Self::Unnamed => 0,
            Self::Eth0 => 1,
            Self::Eth1 => 2,
            Self::Tunnel => 3,
        }
    }

    /// What its frames start with.
    #[must_use]
    pub const fn link_type(self) -> LinkType {
        match self {
            Self::Tunnel => LinkType::RawIp,
            _ => LinkType::Ethernet,
        }
    }
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Counter number of the rule, or [`firewall_common::verdict::NO_RULE`].
    pub rule: u16,
}

impl From<Decision> for Judged {
    fn from(decision: Decision) -> Self {
        Self {
            verdict: decision.verdict,
            reason: decision.reason,
            rule: decision.rule,
        }
    }
}

/// A packet path with its tables.
pub trait Engine {
    /// A new one, with empty tables and an image in force in slot 0.
    fn start(image: &SlotImage<'_>) -> Self;

    /// The length of its ticks.
    fn clock(&self) -> ClockScale;

    /// Puts an image into a slot, as a new epoch, without switching to it.
    fn load(&mut self, slot: u8, image: &SlotImage<'_>);

    /// Puts an image into a slot that has one, and keeps its epoch: what no agent ever does.
    fn overwrite(&mut self, slot: u8, image: &SlotImage<'_>);

    /// Puts a cell in force; its slots may be empty.
    fn switch(&mut self, cell: Cell);

    /// Bans an address until `expires_ticks`, or for ever where that is zero. All flows are judged again.
    fn ban(&mut self, address: IpAddr, expires_ticks: u32);

    /// Gives a slot the members of its block lists.
    fn load_lists(&mut self, slot: u8, members: &Members);

    /// Changes the block lists of a slot, which may be in force. All flows are judged again.
    fn change_lists(&mut self, slot: u8, change: &Change);

    /// Gives the host an address.
    fn add_local(&mut self, address: IpAddr);

    /// Whether a frame can be put to it at all.
    fn takes(&self, frame: &[u8], hook: Hook) -> bool;

    /// Judges a frame.
    fn judge(&self, frame: &[u8], interface: Interface, hook: Hook, now_ticks: u32) -> Judged;

    /// States of the flows in a table. Those that have expired may be missing.
    fn flows(&self, table: FlowTable) -> Vec<State>;
}
