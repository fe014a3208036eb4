//! Answers at XDP: the frame is rewritten and sent back where it came from.

use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    programs::XdpContext,
};
use firewall_common::{address::Family, bytes::PacketBytes, headers::Headers, judge::Work};

use super::{Reply, frame, reply_to};
use crate::{
    account,
    bytes::XdpBytes,
    checksum::Sum,
    maps::{CONTROL, SCRATCH},
    slot,
};

/// The XDP action that sends the answer, or `None` where there is none to send.
#[inline(always)]
pub(crate) fn ingress(context: &XdpContext, scratch: u32) -> Option<u32> {
    let headers = SCRATCH.get(scratch)?;
    let in_force = slot::of_packet(&CONTROL, headers)?;
    let reply = reply_to(headers, in_force.now_ticks)?;
    let work = account::work(scratch)?;
    match (reply, headers.ip_family()?) {
        (Reply::Reset, Family::V4) => reset_v4(context, headers, work),
        (Reply::Reset, Family::V6) => reset_v6(context, headers, work),
        (Reply::Unreachable, Family::V4) => unreachable_v4(context, headers, work),
        (Reply::Unreachable, Family::V6) => unreachable_v6(context, headers, work),
    }
}

// Functions of their own, for their share of the 512 bytes of stack.

#[inline(never)]
fn reset_v4(context: &XdpContext, headers: &Headers, work: &mut Work) -> Option<u32> {
    let link = Link::of(context, headers)?;
    let data = super::data_bytes(&XdpBytes(context), headers)?;
    cut(context, link.bytes + frame::RESET_V4)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::reset_v4(answer, headers, data);
    link.write(context, answer)
}

#[inline(never)]
fn reset_v6(context: &XdpContext, headers: &Headers, work: &mut Work) -> Option<u32> {
    let link = Link::of(context, headers)?;
    let data = super::data_bytes(&XdpBytes(context), headers)?;
    cut(context, link.bytes + frame::RESET_V6)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::reset_v6(answer, headers, data);
    link.write(context, answer)
}

#[inline(never)]
fn unreachable_v4(context: &XdpContext, headers: &Headers, work: &mut Work) -> Option<u32> {
    let link = Link::of(context, headers)?;
    let quote = Sum::ZERO.add_packet(&XdpBytes(context), link.bytes, frame::QUOTE_V4 as u64 / 4)?;
    cut(context, link.bytes + frame::QUOTE_V4)?;
    grow(context, frame::BEFORE_QUOTE_V4)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::unreachable_v4(answer, headers, quote);
    link.write(context, answer)
}

#[inline(never)]
fn unreachable_v6(context: &XdpContext, headers: &Headers, work: &mut Work) -> Option<u32> {
    let link = Link::of(context, headers)?;
    let quote = Sum::ZERO.add_packet(&XdpBytes(context), link.bytes, frame::QUOTE_V6 as u64 / 4)?;
    cut(context, link.bytes + frame::QUOTE_V6)?;
    grow(context, frame::BEFORE_QUOTE_V6)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::unreachable_v6(answer, headers, quote);
    link.write(context, answer)
}

/// Cuts the frame to `length`, which it must at least have.
#[inline(always)]
fn cut(context: &XdpContext, length: usize) -> Option<()> {
    let delta = length as i32 - XdpBytes(context).full_length() as i32;
    if delta > 0 {
        return None;
    }
    // SAFETY: the helper takes the program's own context and checks the length itself.
    (unsafe { bpf_xdp_adjust_tail(context.ctx, delta) } == 0).then_some(())
}

/// Makes room for so many bytes in front.
#[inline(always)]
fn grow(context: &XdpContext, bytes: usize) -> Option<()> {
    // SAFETY: the helper takes the program's own context and checks the headroom itself.
    (unsafe { bpf_xdp_adjust_head(context.ctx, -(bytes as i32)) } == 0).then_some(())
}

/// The link-level header, read before the frame is changed.
struct Link {
    bytes: usize,
    header: [u8; frame::LONGEST_LINK],
}

impl Link {
    /// `None` where there is none: such a device cannot send the frame back.
    #[inline(always)]
    fn of(context: &XdpContext, headers: &Headers) -> Option<Self> {
        let bytes = frame::link_bytes(headers);
        if bytes == 0 {
            return None;
        }
        let header = XdpBytes(context).load(0)?;
        Some(Self { bytes, header })
    }

    /// Writes the answer to the front of the frame, and sends it.
    #[inline(always)]
    fn write<const N: usize>(self, context: &XdpContext, packet: &[u8; N]) -> Option<u32> {
        store(context, 0, &frame::answering(self.header))?;
        store(context, self.bytes, packet)?;
        Some(xdp_action::XDP_TX)
    }
}

#[inline(always)]
fn store<const N: usize>(context: &XdpContext, at: usize, bytes: &[u8; N]) -> Option<()> {
    let start = context.data() + at;
    if start + N > context.data_end() {
        return None;
    }
    // SAFETY: the N bytes at `start` were just found to lie inside the frame.
    unsafe { *(start as *mut [u8; N]) = *bytes };
    Some(())
}
