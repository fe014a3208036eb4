//! Bounded access to the packet of a hook.

use aya_ebpf::{
    helpers::generated::bpf_xdp_get_buff_len,
    programs::{TcContext, XdpContext},
};
use firewall_common::bytes::{PacketBytes, Window};

/// Offsets from here on are refused: headers lie far before, and the verifier wants a bound.
const MAX_OFFSET: usize = 0x4000;

/// `start + N`, kept as it is written: of `start + 1 > end` LLVM makes `start >= end`, from which the verifier learns
/// nothing.
#[inline(always)]
fn end<const N: usize>(start: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut end = start;
        // SAFETY: one instruction on one register.
        unsafe { core::arch::asm!("{0} += {n}", inout(reg) end, n = const N, options(nomem, nostack)) };
        end
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        start + N
    }
}

#[inline(always)]
fn window<'a, const N: usize>(data: usize, data_end: usize, offset: usize) -> Option<Window<'a, N>> {
    if offset >= MAX_OFFSET {
        return None;
    }
    let start = data + offset;
    if end::<N>(start) > data_end {
        return None;
    }
    // SAFETY: the N bytes at `start` were just found to lie before the packet's end; [u8; N] has no alignment.
    Some(Window(unsafe { &*(start as *const [u8; N]) }))
}

/// The linear part of a frame at XDP. Drivers keep the headers there; the rest of a multi-buffer frame is only
/// counted.
pub(crate) struct XdpBytes<'a>(pub(crate) &'a XdpContext);

impl PacketBytes for XdpBytes<'_> {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>> {
        window(self.0.data(), self.0.data_end(), offset)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.0.data_end() - self.0.data()
    }

    #[inline(always)]
    fn full_length(&self) -> usize {
        // SAFETY: the helper takes the program's own context.
        unsafe { bpf_xdp_get_buff_len(self.0.ctx) as usize }
    }
}

/// A packet at tcx. The entry has pulled the headers into the linear part.
pub(crate) struct TcBytes<'a>(pub(crate) &'a TcContext);

impl PacketBytes for TcBytes<'_> {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>> {
        window(self.0.data(), self.0.data_end(), offset)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.0.len() as usize
    }
}
