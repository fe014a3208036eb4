//! Answers to rejected packets: a TCP reset, or an ICMP unreachable that quotes the packet.
//!
//! Never for later fragments, ICMP errors, resets, multicast or broadcast (RFC 1122 3.2.2, RFC 4443 2.4), and within
//! a budget for each source and in total. At XDP, a device without link-level headers cannot send a frame back: there
//! the packet is dropped silently.

mod frame;
mod tc;
mod xdp;

use firewall_common::{
    bytes::PacketBytes,
    headers::{FragmentKind, Headers},
    wire::{icmp, icmpv6, protocol, tcp},
};

use crate::{
    maps::{REJECT_TOTAL, REJECT_WINDOWS},
    tables::{address_key, take_shared_token, take_source_token},
};

pub(crate) use tc::egress;
pub(crate) use xdp::ingress;

/// Answers in a second to one source.
const PER_SOURCE: u32 = 20;
/// Answers in a second to all sources.
const IN_TOTAL: u32 = 500;

/// What the answer is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A TCP reset.
    Reset,
    /// An ICMP or ICMPv6 destination unreachable.
    Unreachable,
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
