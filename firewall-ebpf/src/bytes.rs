//! Bounded access to the packet of a hook.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
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

/// A pointer of the program's context, whose fields for them have 32 bits. LLVM, left to itself, keeps it as a number of
/// 32 bits, for which it is no pointer to the verifier any more.
macro_rules! context_pointer {
    ($context:expr, $type:ty, $field:ident) => {{
        let context: *const $type = $context;
        #[cfg(target_arch = "bpf")]
        {
            let pointer: usize;
            // SAFETY: reads a field of the program's own context, which the kernel makes a pointer.
            unsafe {
                core::arch::asm!(
                    "{pointer} = *(u32 *)({context} + {field})",
                    pointer = out(reg) pointer,
                    context = in(reg) context,
                    field = const core::mem::offset_of!($type, $field),
                    options(pure, readonly, nostack)
                );
            }
            pointer
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            // SAFETY: the context is valid for as long as the program runs.
            unsafe { (*context).$field as usize }
        }
    }};
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

impl XdpBytes<'_> {
    #[inline(always)]
    fn start(&self) -> usize {
        context_pointer!(self.0.ctx, xdp_md, data)
    }

    #[inline(always)]
    fn end(&self) -> usize {
        context_pointer!(self.0.ctx, xdp_md, data_end)
    }
}

impl PacketBytes for XdpBytes<'_> {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>> {
        window(self.start(), self.end(), offset)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.end() - self.start()
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
        let context = self.0.skb.skb;
        window(
            context_pointer!(context, __sk_buff, data),
            context_pointer!(context, __sk_buff, data_end),
            offset,
        )
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.0.len() as usize
    }
}
