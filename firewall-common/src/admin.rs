//! Commands that the agent runs on the flow table through `fw_admin` and `BPF_PROG_TEST_RUN`.
//!
//! User space never takes a bucket's lock: an agent that is killed while it holds one would leave it locked. So
//! inserts are made by the kernel side; the command lies at the start of the packet, and the answer is written over
//! it.

use bytemuck::{Pod, Zeroable};

use crate::flow::FlowKey;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// Answer with the clocks.
    ReadClock = 1,
    /// Enter an assured flow.
    InsertFlow = 2,
}

/// The command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Request {
    /// [`Operation`].
    pub operation: u32,
    /// Epoch of the judgement that lets the flow in.
    pub epoch: u32,
    /// The flow.
    pub key: FlowKey,
    /// [`crate::flow::State`].
    pub state: u8,
    /// [`crate::flow::flow_flags`].
    pub flags: u8,
    /// Counter number of its rule.
    pub rule: u16,
    /// When its rule ends, in ticks; zero is never.
    pub expires_ticks: u32,
    /// Slot whose timers hold.
    pub slot: u32,
    /// Spare.
    pub reserved: u32,
}

/// Packets shorter than this are no command (and no Ethernet frame either).
pub const REQUEST_BYTES: usize = size_of::<Request>();

/// The answer, over the first bytes of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Response {
    /// Jiffies.
    pub jiffies: u64,
    /// Nanoseconds since boot, without sleep.
    pub monotonic_nanoseconds: u64,
}

/// Return codes of `fw_admin`.
pub mod code {
    /// Done; for `InsertFlow`: entered, or there already.
    pub const DONE: u32 = 1;
    /// The command cannot be read.
    pub const MALFORMED: u32 = 2;
    /// No room in the table.
    pub const FULL: u32 = 3;
}

const _: () = assert!(REQUEST_BYTES == 64 && size_of::<Response>() <= REQUEST_BYTES);
