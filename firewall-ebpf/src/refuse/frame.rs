//! The bytes of an answer, from the IP header to where the quoted packet starts, and the link-level header before it.

use firewall_common::{
    headers::Headers,
    opaque::masked,
    wire::{ethernet, protocol, tcp},
};

use crate::checksum::Sum;

/// Hop limit of answers.
const HOP_LIMIT: u8 = 64;

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const ICMP_HEADER: usize = 8;

/// Bytes of the longest link-level header: Ethernet with two tags.
pub(super) const LONGEST_LINK: usize = ethernet::HEADER_BYTES + ethernet::MAX_TAGS * ethernet::TAG_BYTES;

/// Bytes of a reset in each family.
pub(super) const RESET_V4: usize = V4_HEADER + tcp::HEADER_BYTES;
pub(super) const RESET_V6: usize = V6_HEADER + tcp::HEADER_BYTES;
/// Bytes of a packet that an unreachable quotes: its IP header and eight more (RFC 792).
pub(super) const QUOTE_V4: usize = V4_HEADER + 8;
pub(super) const QUOTE_V6: usize = V6_HEADER + 8;
/// Bytes that go before the quote.
pub(super) const BEFORE_QUOTE_V4: usize = V4_HEADER + ICMP_HEADER;
pub(super) const BEFORE_QUOTE_V6: usize = V6_HEADER + ICMP_HEADER;

/// Bytes of the packet's link-level header: none, or those of Ethernet with up to two tags.
#[inline(always)]
pub(super) fn link_bytes(headers: &Headers) -> usize {
    masked::<0x1f>(usize::from(headers.l3_offset))
}

/// The link-level header of the answer: the ends change places, types and tags stay. What the header is shorter by is
/// overwritten by the packet behind it.
#[inline(always)]
pub(super) fn answering(link: [u8; LONGEST_LINK]) -> [u8; LONGEST_LINK] {
    let mut answer = link;
    let mut at = 0;
    while at < 6 {
        answer[at] = link[at + 6];
        answer[at + 6] = link[at];
        at += 1;
    }
    answer
}

#[inline(always)]
fn put<const N: usize, const M: usize>(frame: &mut [u8; N], at: usize, bytes: [u8; M]) {
    let mut index = 0;
    while index < M {
        frame[at + index] = bytes[index];
        index += 1;
    }
}

#[inline(always)]
fn ipv4<const N: usize>(frame: &mut [u8; N], headers: &Headers, total: u16, next: u8) {
    let source = (headers.destination.low as u32).to_be_bytes();
    let destination = (headers.source.low as u32).to_be_bytes();
    put(frame, 0, [0x45, 0]);
    put(frame, 2, total.to_be_bytes());
    // Identification zero, do not fragment.
    put(frame, 4, [0, 0, 0x40, 0, HOP_LIMIT, next, 0, 0]);
    put(frame, 12, source);
    put(frame, 16, destination);
    let checksum = Sum::ZERO
        .add(&[0x45, 0])
        .add(&total.to_be_bytes())
        .add(&[0x40, 0, HOP_LIMIT, next])
        .add(&source)
        .add(&destination)
        .finish();
    put(frame, 10, checksum);
}

#[inline(always)]
fn ipv6<const N: usize>(frame: &mut [u8; N], headers: &Headers, payload: u16, next: u8) {
    put(frame, 0, [0x60, 0, 0, 0]);
    put(frame, 4, payload.to_be_bytes());
    put(frame, 6, [next, HOP_LIMIT]);
    put(frame, 8, headers.destination.high.to_be_bytes());
    put(frame, 16, headers.destination.low.to_be_bytes());
    put(frame, 24, headers.source.high.to_be_bytes());
    put(frame, 32, headers.source.low.to_be_bytes());
}

/// Adds both addresses; the order does not matter to it.
#[inline(always)]
fn addresses(headers: &Headers, sum: Sum) -> Sum {
    sum.add(&headers.source.high.to_be_bytes())
        .add(&headers.source.low.to_be_bytes())
        .add(&headers.destination.high.to_be_bytes())
        .add(&headers.destination.low.to_be_bytes())
}

/// RFC 9293 3.10.7.1: a reset takes its number from the acknowledgement, or acknowledges what came.
#[inline(always)]
fn tcp_header<const N: usize>(frame: &mut [u8; N], at: usize, headers: &Headers, data_bytes: u32) {
    let (sequence, acknowledgement, flags) = if headers.tcp_flags & tcp::ACK != 0 {
        (headers.tcp_acknowledgement, 0, tcp::RST)
    } else {
        let syn = u32::from(headers.tcp_flags & tcp::SYN != 0);
        let fin = u32::from(headers.tcp_flags & tcp::FIN != 0);
        let next = headers
            .tcp_sequence
            .wrapping_add(data_bytes)
            .wrapping_add(syn)
            .wrapping_add(fin);
        (0, next, tcp::RST | tcp::ACK)
    };
    put(frame, at, headers.destination_port.to_be_bytes());
    put(frame, at + 2, headers.source_port.to_be_bytes());
    put(frame, at + 4, sequence.to_be_bytes());
    put(frame, at + 8, acknowledgement.to_be_bytes());
    put(frame, at + 12, [0x50, flags, 0, 0, 0, 0, 0, 0]);
    let checksum = addresses(headers, Sum::ZERO)
        .add_number(u32::from(protocol::TCP))
        .add_number(tcp::HEADER_BYTES as u32)
        .add(&headers.destination_port.to_be_bytes())
        .add(&headers.source_port.to_be_bytes())
        .add(&sequence.to_be_bytes())
        .add(&acknowledgement.to_be_bytes())
        .add(&[0x50, flags])
        .finish();
    put(frame, at + 16, checksum);
}

/// A reset over IPv4.
#[inline(always)]
pub(super) fn reset_v4(frame: &mut [u8; RESET_V4], headers: &Headers, data_bytes: u32) {
    *frame = [0; RESET_V4];
    ipv4(
        frame,
        headers,
        (V4_HEADER + tcp::HEADER_BYTES) as u16,
        protocol::TCP,
    );
    tcp_header(frame, V4_HEADER, headers, data_bytes);
}

/// A reset over IPv6.
#[inline(always)]
pub(super) fn reset_v6(frame: &mut [u8; RESET_V6], headers: &Headers, data_bytes: u32) {
    *frame = [0; RESET_V6];
    ipv6(frame, headers, tcp::HEADER_BYTES as u16, protocol::TCP);
    tcp_header(frame, V6_HEADER, headers, data_bytes);
}

/// What goes before the quote over IPv4: destination unreachable, port unreachable, or administratively prohibited
/// for protocols without ports (RFC 1812 5.2.7.1).
#[inline(always)]
pub(super) fn unreachable_v4(frame: &mut [u8; BEFORE_QUOTE_V4], headers: &Headers, quote: Sum) {
    *frame = [0; BEFORE_QUOTE_V4];
    ipv4(
        frame,
        headers,
        (BEFORE_QUOTE_V4 + QUOTE_V4) as u16,
        protocol::ICMP,
    );
    let kind = [3, if has_ports(headers) { 3 } else { 13 }];
    put(frame, V4_HEADER, kind);
    put(frame, V4_HEADER + 2, quote.add(&kind).finish());
}

/// What goes before the quote over IPv6 (RFC 4443 3.1): port unreachable, or administratively prohibited.
#[inline(always)]
pub(super) fn unreachable_v6(frame: &mut [u8; BEFORE_QUOTE_V6], headers: &Headers, quote: Sum) {
    *frame = [0; BEFORE_QUOTE_V6];
    let payload = (ICMP_HEADER + QUOTE_V6) as u16;
    ipv6(frame, headers, payload, protocol::ICMPV6);
    let kind = [1, if has_ports(headers) { 4 } else { 1 }];
    put(frame, V6_HEADER, kind);
    let checksum = addresses(headers, quote)
        .add_number(u32::from(payload))
        .add_number(u32::from(protocol::ICMPV6))
        .add(&kind)
        .finish();
    put(frame, V6_HEADER + 2, checksum);
}

#[inline(always)]
const fn has_ports(headers: &Headers) -> bool {
    matches!(
        headers.protocol,
        protocol::UDP | protocol::UDP_LITE | protocol::SCTP
    )
}
