//! Answers to rejected packets: a TCP reset, or an ICMP unreachable that quotes the packet.
//!
//! Never for later fragments, ICMP errors, resets, multicast or broadcast (RFC 1122 3.2.2, RFC 4443 2.4), and within
//! a budget for each source and in total. At XDP, a device without link-level headers cannot send a frame back: there
//! the packet is dropped silently.

mod frame;

use firewall_common::{
    address::Family,
    bytes::PacketBytes,
    headers::{FragmentKind, Headers},
    judge::Work,
    wire::{icmp, icmpv6, protocol, tcp},
};

use crate::{
    account,
    checksum::Sum,
    hook::HookContext,
    maps::{CONTROL, REJECT_TOTAL, REJECT_WINDOWS, SCRATCH},
    slot,
    tables::{address_key, take_shared_token, take_source_token},
};

/// Answers in a second to one source.
const PER_SOURCE: u32 = 20;
/// Answers in a second to all sources.
const IN_TOTAL: u32 = 500;

/// What the answer is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// A TCP reset.
    Reset,
    /// An ICMP or ICMPv6 destination unreachable.
    Unreachable,
}

/// Turns the packet into its answer and says what is to be done with it; `None` where there is none.
#[inline(always)]
pub(crate) fn answer<C: HookContext>(context: &C) -> Option<C::Action> {
    let headers = SCRATCH.get(C::HOOK as u32)?;
    let in_force = slot::of_headers(&CONTROL, headers)?;
    if headers.l3_offset == 0 && !C::ANSWERS_RAW_IP {
        return None;
    }
    let reply = reply_to(headers, in_force.now_ticks)?;
    let work = account::work(C::HOOK as u32)?;
    match (reply, headers.ip_family()?) {
        (Reply::Reset, Family::V4) => reset_v4(context, headers, work),
        (Reply::Reset, Family::V6) => reset_v6(context, headers, work),
        (Reply::Unreachable, Family::V4) => unreachable_v4(context, headers, work),
        (Reply::Unreachable, Family::V6) => unreachable_v6(context, headers, work),
    }?;
    Some(context.send_back())
}

// Functions of their own, for their share of the 512 bytes of stack.

#[inline(never)]
fn reset_v4<C: HookContext>(context: &C, headers: &Headers, work: &mut Work) -> Option<()> {
    let link = Link::of(context, headers)?;
    let data = data_bytes(&context.bytes(), headers)?;
    context.cut(link.bytes + frame::RESET_V4)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::reset_v4(answer, headers, data);
    link.write(context, answer)
}

#[inline(never)]
fn reset_v6<C: HookContext>(context: &C, headers: &Headers, work: &mut Work) -> Option<()> {
    let link = Link::of(context, headers)?;
    let data = data_bytes(&context.bytes(), headers)?;
    context.cut(link.bytes + frame::RESET_V6)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::reset_v6(answer, headers, data);
    link.write(context, answer)
}

#[inline(never)]
fn unreachable_v4<C: HookContext>(context: &C, headers: &Headers, work: &mut Work) -> Option<()> {
    let link = Link::of(context, headers)?;
    let quote = Sum::ZERO.add_packet(&context.bytes(), link.bytes, frame::QUOTE_V4 as u64 / 4)?;
    context.cut(link.bytes + frame::QUOTE_V4)?;
    context.grow(frame::BEFORE_QUOTE_V4)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::unreachable_v4(answer, headers, quote);
    link.write(context, answer)
}

#[inline(never)]
fn unreachable_v6<C: HookContext>(context: &C, headers: &Headers, work: &mut Work) -> Option<()> {
    let link = Link::of(context, headers)?;
    let quote = Sum::ZERO.add_packet(&context.bytes(), link.bytes, frame::QUOTE_V6 as u64 / 4)?;
    context.cut(link.bytes + frame::QUOTE_V6)?;
    context.grow(frame::BEFORE_QUOTE_V6)?;
    let answer = work.frame.first_chunk_mut()?;
    frame::unreachable_v6(answer, headers, quote);
    link.write(context, answer)
}

/// The link-level header, read before the packet is changed. A tag that the interface puts in stays with the packet
/// and is not in it.
struct Link {
    bytes: usize,
    header: [u8; frame::LONGEST_LINK],
}

impl Link {
    #[inline(always)]
    fn of<C: HookContext>(context: &C, headers: &Headers) -> Option<Self> {
        let header = context.bytes().load(0)?;
        Some(Self {
            bytes: frame::link_bytes(headers),
            header,
        })
    }

    /// Writes the answer to the front of the packet.
    #[inline(always)]
    fn write<C: HookContext, const N: usize>(self, context: &C, packet: &[u8; N]) -> Option<()> {
        if self.bytes != 0 {
            context.store(0, &frame::answering(self.header))?;
        }
        context.store(self.bytes, packet)
    }
}

/// The answer that a packet gets, if any.
#[inline(always)]
fn reply_to(headers: &Headers, now_ticks: u32) -> Option<Reply> {
    let family = headers.ip_family()?;
    let answerable = headers.fragment == FragmentKind::Whole as u8
        && !headers.destination.is_multicast(family)
        && !headers.destination.is_limited_broadcast(family)
        && !headers.source.is_multicast(family)
        && !headers.source.is_unspecified();
    if !answerable || is_unanswerable_message(headers) {
        return None;
    }
    if !take_shared_token(&REJECT_TOTAL, IN_TOTAL, now_ticks)
        || !take_source_token(
            &REJECT_WINDOWS,
            address_key(family, headers.source),
            PER_SOURCE,
            now_ticks,
        )
    {
        return None;
    }
    Some(if headers.protocol == protocol::TCP {
        Reply::Reset
    } else {
        Reply::Unreachable
    })
}

/// Resets, and every ICMP message that is not an echo request.
#[inline(always)]
fn is_unanswerable_message(headers: &Headers) -> bool {
    match headers.protocol {
        protocol::TCP => headers.tcp_flags & tcp::RST != 0,
        protocol::ICMP => headers.icmp_type() != icmp::ECHO_REQUEST,
        protocol::ICMPV6 => headers.icmp_type() != icmpv6::ECHO_REQUEST,
        _ => false,
    }
}

/// Bytes of data in a TCP segment.
#[inline(always)]
fn data_bytes<B: PacketBytes>(bytes: &B, headers: &Headers) -> Option<u32> {
    let [offset_and_flags] = bytes.load::<1>(usize::from(headers.l4_offset) + 12)?;
    Some(u32::from(headers.l4_bytes).saturating_sub(u32::from(offset_and_flags >> 4) * 4))
}
