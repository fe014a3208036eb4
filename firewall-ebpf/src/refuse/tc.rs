//! Answers at egress: the packet is turned into its refusal and comes in on the interface that it would have left by,
//! so that the local socket fails at once.

use aya_ebpf::{
    bindings::BPF_F_INGRESS,
    helpers::generated::{bpf_redirect, bpf_skb_change_head, bpf_skb_change_tail, bpf_skb_store_bytes},
    programs::TcContext,
};
use firewall_common::{address::Family, bytes::PacketBytes, headers::Headers, judge::Work};

use super::{Reply, frame, reply_to};
use crate::{
    account,
    bytes::TcBytes,
    checksum::Sum,
    maps::{CONTROL, SCRATCH},
    slot,
};

/// The tc action that delivers the refusal, or `None` where there is none.
#[inline(always)]
pub(crate) fn egress(context: &TcContext, scratch: u32) -> Option<i32> {
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
fn reset_v4(context: &TcContext, headers: &Headers, work: &mut Work) -> Option<i32> {
    let link = Link::of(context, headers)?;
    let data = super::data_bytes(&TcBytes(context), headers)?;
    cut(context, link.bytes + frame::RESET_V4)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::reset_v4(answer, headers, data);
    link.write(context, answer)
}

#[inline(never)]
fn reset_v6(context: &TcContext, headers: &Headers, work: &mut Work) -> Option<i32> {
    let link = Link::of(context, headers)?;
    let data = super::data_bytes(&TcBytes(context), headers)?;
    cut(context, link.bytes + frame::RESET_V6)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::reset_v6(answer, headers, data);
    link.write(context, answer)
}

#[inline(never)]
fn unreachable_v4(context: &TcContext, headers: &Headers, work: &mut Work) -> Option<i32> {
    let link = Link::of(context, headers)?;
    let quote = Sum::ZERO.add_packet(&TcBytes(context), link.bytes, frame::QUOTE_V4 as u64 / 4)?;
    cut(context, link.bytes + frame::QUOTE_V4)?;
    grow(context, frame::BEFORE_QUOTE_V4)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::unreachable_v4(answer, headers, quote);
    link.write(context, answer)
}

#[inline(never)]
fn unreachable_v6(context: &TcContext, headers: &Headers, work: &mut Work) -> Option<i32> {
    let link = Link::of(context, headers)?;
    let quote = Sum::ZERO.add_packet(&TcBytes(context), link.bytes, frame::QUOTE_V6 as u64 / 4)?;
    cut(context, link.bytes + frame::QUOTE_V6)?;
    grow(context, frame::BEFORE_QUOTE_V6)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::unreachable_v6(answer, headers, quote);
    link.write(context, answer)
}

/// Cuts the packet to `length`, which it must at least have.
#[inline(always)]
fn cut(context: &TcContext, length: usize) -> Option<()> {
    if (context.len() as usize) < length {
        return None;
    }
    // SAFETY: the helper takes the program's own context and checks the length itself.
    (unsafe { bpf_skb_change_tail(context.skb.skb, length as u32, 0) } == 0).then_some(())
}

/// Makes room for so many bytes in front.
#[inline(always)]
fn grow(context: &TcContext, bytes: usize) -> Option<()> {
    // SAFETY: the helper takes the program's own context and checks the headroom itself.
    (unsafe { bpf_skb_change_head(context.skb.skb, bytes as u32, 0) } == 0).then_some(())
}

/// The link-level header, read before the packet is changed. A tag that the interface puts in stays with the packet
/// and is not in it.
struct Link {
    bytes: usize,
    header: [u8; frame::LONGEST_LINK],
}

impl Link {
    #[inline(always)]
    fn of(context: &TcContext, headers: &Headers) -> Option<Self> {
        let header = TcBytes(context).load(0)?;
        Some(Self {
            bytes: frame::link_bytes(headers),
            header,
        })
    }

    /// Writes the answer to the front of the packet, and lets it come in.
    #[inline(always)]
    fn write<const N: usize>(self, context: &TcContext, packet: &[u8; N]) -> Option<i32> {
        if self.bytes != 0 {
            store(context, 0, &frame::answering(self.header))?;
        }
        store(context, self.bytes, packet)?;
        // SAFETY: the helper takes an interface's index, the packet's own.
        let action = unsafe { bpf_redirect((*context.skb.skb).ifindex, u64::from(BPF_F_INGRESS)) };
        Some(action as i32)
    }
}

#[inline(always)]
fn store<const N: usize>(context: &TcContext, at: usize, bytes: &[u8; N]) -> Option<()> {
    // SAFETY: the helper takes the program's own context and a buffer of the length that is given; it checks the
    // packet's length itself.
    let failed =
        unsafe { bpf_skb_store_bytes(context.skb.skb, at as u32, bytes.as_ptr().cast(), N as u32, 0) };
    (failed == 0).then_some(())
}
