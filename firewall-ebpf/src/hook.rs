//! What differs between the two hooks, so that the steps of the verdict path are written once.

use aya_ebpf::{EbpfContext, maps::ProgramArray};
use firewall_common::{bytes::PacketBytes, counters::Hook, verdict::Verdict};

/// The context of a program at one of the hooks.
pub(crate) trait HookContext: EbpfContext {
    /// What the kernel is told to do with the packet.
    type Action: Copy;
    /// The packet's bytes.
    type Bytes<'a>: PacketBytes
    where
        Self: 'a;

    /// Which of the two it is.
    const HOOK: Hook;
    /// The packet is dropped.
    const DROP: Self::Action;

    /// The packet's bytes.
    fn bytes(&self) -> Self::Bytes<'_>;
    /// Index of the interface.
    fn interface(&self) -> u32;
    /// The programs to go on in.
    fn programs() -> &'static ProgramArray;
    /// The one place where a verdict becomes a return code of this hook.
    fn action(verdict: Verdict) -> Self::Action;

    /// Bytes of the packet that an answer is made of, cut to `length`; `None` where it has less.
    fn cut(&self, length: usize) -> Option<()>;
    /// Makes room for so many bytes in front.
    fn grow(&self, bytes: usize) -> Option<()>;
    /// Writes bytes at an offset, `None` where the packet ends before.
    fn store<const N: usize>(&self, at: usize, bytes: &[u8; N]) -> Option<()>;
    /// Copies so many of the packet's first bytes to `room`, also those of a packet in pieces; `None` where it has less.
    ///
    /// # Safety
    /// There is so much room.
    unsafe fn copy(&self, room: *mut u8, bytes: u32) -> Option<()>;
    /// A VLAN tag that is not in the packet's bytes: its `EtherType`, zero where there is none, and the tag.
    fn tag(&self) -> (u16, u16);
    /// Sends the packet, which has become an answer, to whoever sent it.
    fn send_back(&self) -> Self::Action;
    /// Whether this hook can answer packets without a link-level header.
    const ANSWERS_RAW_IP: bool;
}
