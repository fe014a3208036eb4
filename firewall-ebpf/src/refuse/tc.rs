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
    let link = TcBytes(context).load::<14>(0)?;
    let data = super::data_bytes(&TcBytes(context), headers)?;
    cut(context, frame::RESET_V4)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::reset_v4(answer, &link, headers, data);
    write(context, answer)
}

#[inline(never)]
fn reset_v6(context: &TcContext, headers: &Headers, work: &mut Work) -> Option<i32> {
    let link = TcBytes(context).load::<14>(0)?;
    let data = super::data_bytes(&TcBytes(context), headers)?;
    cut(context, frame::RESET_V6)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::reset_v6(answer, &link, headers, data);
    write(context, answer)
}

#[inline(never)]
fn unreachable_v4(context: &TcContext, headers: &Headers, work: &mut Work) -> Option<i32> {
    let link = TcBytes(context).load::<14>(0)?;
    let quote = Sum::ZERO.add_packet(&TcBytes(context), 14, frame::QUOTE_V4 as u64 / 4)?;
    cut(context, 14 + frame::QUOTE_V4)?;
    grow(context, frame::BEFORE_QUOTE_V4)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::unreachable_v4(answer, &link, headers, quote);
    write(context, answer)
}

#[inline(never)]
fn unreachable_v6(context: &TcContext, headers: &Headers, work: &mut Work) -> Option<i32> {
    let link = TcBytes(context).load::<14>(0)?;
    let quote = Sum::ZERO.add_packet(&TcBytes(context), 14, frame::QUOTE_V6 as u64 / 4)?;
    cut(context, 14 + frame::QUOTE_V6)?;
    grow(context, frame::BEFORE_QUOTE_V6)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::unreachable_v6(answer, &link, headers, quote);
    write(context, answer)
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

#[inline(always)]
fn write<const N: usize>(context: &TcContext, bytes: &[u8; N]) -> Option<i32> {
    // SAFETY: the helpers take the program's own context, and a buffer of the length that is given.
    unsafe {
        let skb = context.skb.skb;
        if bpf_skb_store_bytes(skb, 0, bytes.as_ptr().cast(), N as u32, 0) != 0 {
            return None;
        }
        Some(bpf_redirect((*skb).ifindex, u64::from(BPF_F_INGRESS)) as i32)
    }
}
