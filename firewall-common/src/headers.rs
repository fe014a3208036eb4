//! One walk over a packet's headers, in the kernel and on the host alike.

use bytemuck::{Pod, Zeroable};

use crate::{
    address::{Address, Family},
    bytes::PacketBytes,
    classify::MatchKey,
    image::UNTAGGED,
    interface::LinkType,
    opaque::masked,
    reason::Reason,
    wire::{ethernet, icmp, icmpv6, protocol, tcp},
};

/// IPv6 extension headers that are walked; RFC 8504 5.3 suggests a limit of 8.
pub const MAX_EXTENSIONS: usize = 8;

/// IPv6 extension headers that are walked in a quoted packet: this host sends few.
pub const QUOTED_EXTENSIONS: usize = 2;

/// What kind of fragment a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FragmentKind {
    /// A whole datagram; an IPv6 atomic fragment (RFC 6946) counts as one.
    Whole = 0,
    /// The first piece, with the transport header.
    First = 1,
    /// A later piece.
    Later = 2,
}

/// Bits of [`Headers::marks`].
pub mod marks {
    /// IPv4 options are present.
    pub const IPV4_OPTIONS: u8 = 1;
    /// An IPv6 hop-by-hop header is present.
    pub const HOP_BY_HOP: u8 = 1 << 1;
    /// An IPv6 fragment header is present, even if it is atomic.
    pub const FRAGMENT_HEADER: u8 = 1 << 2;
    /// More fragments follow this one.
    pub const MORE_FRAGMENTS: u8 = 1 << 3;
}

/// The fields of a packet that the verdict depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Headers {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Bytes of the frame from the link-level header on.
    pub frame_bytes: u32,
    /// Fragment identification.
    pub identification: u32,
    /// TCP sequence number.
    pub tcp_sequence: u32,
    /// TCP acknowledgement number.
    pub tcp_acknowledgement: u32,
    /// Where the IP header starts.
    pub l3_offset: u16,
    /// Where the transport header starts.
    pub l4_offset: u16,
    /// Bytes from the transport header to the end of the IP packet, at most 65,535.
    pub l4_bytes: u16,
    /// Offset of the fragment in the datagram, in units of eight bytes.
    pub fragment_units: u16,
    /// Source port; ICMP echo identifier.
    pub source_port: u16,
    /// Destination port; ICMP `type << 8 | code`.
    pub destination_port: u16,
    /// VLAN identifier of the outermost tag, or [`UNTAGGED`].
    pub vlan: u16,
    /// `EtherType` after the tags.
    pub ether_type: u16,
    /// 4, 6, or 0 where the packet is not IP.
    pub family: u8,
    /// IP protocol after the extension headers.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// TCP flags.
    pub tcp_flags: u8,
    /// [`FragmentKind`].
    pub fragment: u8,
    /// Bits of [`marks`].
    pub marks: u8,
    /// [`crate::interface::InterfaceRecord::slot`], put in by the hook.
    pub interface_slot: u8,
    /// The policy slot that judges the packet, put in by the hook: the cell is read once for each packet.
    pub policy_slot: u8,
    /// Bytes of this fragment's part of the datagram; zero where the packet is no fragment.
    pub fragment_bytes: u16,
    /// [`crate::cell::Mode`], put in by the hook.
    pub mode: u8,
    /// Spare.
    pub reserved: [u8; 5],
}

const _: () = assert!(size_of::<Headers>() == 80);

impl Headers {
    /// Nothing known yet of a frame of this length.
    #[inline(always)]
    #[must_use]
    pub const fn unknown(frame_bytes: u32) -> Self {
        Self {
            source: Address { high: 0, low: 0 },
            destination: Address { high: 0, low: 0 },
            frame_bytes,
            identification: 0,
            tcp_sequence: 0,
            tcp_acknowledgement: 0,
            l3_offset: 0,
            l4_offset: 0,
            l4_bytes: 0,
            fragment_units: 0,
            source_port: 0,
            destination_port: 0,
            vlan: UNTAGGED,
            ether_type: 0,
            family: 0,
            protocol: 0,
            hop_limit: 0,
            tcp_flags: 0,
            fragment: FragmentKind::Whole as u8,
            marks: 0,
            interface_slot: 0,
            policy_slot: 0,
            fragment_bytes: 0,
            mode: 0,
            reserved: [0; 5],
        }
    }

    /// Makes this [`Self::unknown`]. On BPF word by word: the compiler would call a loop over bytes.
    #[inline(always)]
    pub fn clear(&mut self, frame_bytes: u32) {
        #[cfg(target_arch = "bpf")]
        {
            let words: &mut [u64; size_of::<Self>() / 8] = bytemuck::cast_mut(self);
            for word in words {
                // SAFETY: the pointer is a reference's.
                unsafe { core::ptr::write_volatile(word, 0) };
            }
            self.frame_bytes = frame_bytes;
            self.vlan = UNTAGGED;
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            *self = Self::unknown(frame_bytes);
        }
    }

    /// IP version, or `None` where the packet is not IP.
    #[inline(always)]
    #[must_use]
    pub const fn ip_family(&self) -> Option<Family> {
        match self.family {
            4 => Some(Family::V4),
            6 => Some(Family::V6),
            _ => None,
        }
    }

    /// ICMP or ICMPv6 type.
    #[inline(always)]
    #[must_use]
    pub const fn icmp_type(&self) -> u8 {
        (self.destination_port >> 8) as u8
    }

    /// Whether any of these marks is set.
    #[inline(always)]
    #[must_use]
    pub const fn marked(&self, bits: u8) -> bool {
        self.marks & bits != 0
    }

    /// The fields that rules speak of.
    #[inline(always)]
    #[must_use]
    pub const fn match_key(&self, family: Family) -> MatchKey {
        let source_port = match self.protocol {
            // The echo identifier is no port.
            protocol::ICMP | protocol::ICMPV6 => 0,
            _ => self.source_port,
        };
        MatchKey {
            family,
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            source_port,
            destination_port: self.destination_port,
            vlan: self.vlan,
            interface_slot: self.interface_slot,
        }
    }
}

/// Bounds an offset for the verifier. Frames are shorter than this wherever headers lie.
#[inline(always)]
fn bounded(offset: usize) -> usize {
    masked::<0x3fff>(offset)
}

#[inline(always)]
const fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline(always)]
const fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Walks the headers of a frame. A packet that is not IP comes back with family 0.
#[inline(always)]
pub fn parse<B: PacketBytes>(bytes: &B, link: LinkType) -> Result<Headers, Reason> {
    let mut headers = Headers::unknown(bytes.length() as u32);
    if matches!(parse_into(bytes, link, &mut headers)?, Progress::Extensions) {
        parse_extensions(bytes, &mut headers)?;
    }
    Ok(headers)
}

/// How far [`parse_into`] has come.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// To the end.
    Complete,
    /// To the first IPv6 extension header; [`parse_extensions`] goes on. Hardly any packet has one, and in one
    /// program both steps together would cost the verifier ten times as much.
    Extensions,
}

/// Walks the headers of a frame into `headers`, which starts as [`Headers::unknown`], up to IPv6 extension headers.
/// After an error it holds what was read before.
#[inline(always)]
pub fn parse_into<B: PacketBytes>(
    bytes: &B,
    link: LinkType,
    headers: &mut Headers,
) -> Result<Progress, Reason> {
    link_header(bytes, link, headers)?;
    let offset = match headers.ether_type {
        ethernet::IPV4 => ipv4(bytes, headers)?,
        ethernet::IPV6 => ipv6(bytes, headers)?,
        _ => return Ok(Progress::Complete),
    };
    headers.l4_offset = offset as u16;
    if headers.family == Family::V6 as u8 && is_extension(headers.protocol) {
        return Ok(Progress::Extensions);
    }
    if headers.fragment != FragmentKind::Later as u8 {
        transport(bytes, offset, headers)?;
    }
    Ok(Progress::Complete)
}

/// Goes on where [`parse_into`] has stopped at an IPv6 extension header.
#[inline(always)]
pub fn parse_extensions<B: PacketBytes>(bytes: &B, headers: &mut Headers) -> Result<(), Reason> {
    let offset = extensions::<B, MAX_EXTENSIONS>(bytes, headers)?;
    headers.l4_offset = offset as u16;
    if headers.fragment != FragmentKind::Later as u8 {
        transport(bytes, offset, headers)?;
    }
    Ok(())
}

#[inline(always)]
fn link_header<B: PacketBytes>(bytes: &B, link: LinkType, headers: &mut Headers) -> Result<(), Reason> {
    if matches!(link, LinkType::RawIp) {
        let [first] = bytes.load::<1>(0).ok_or(Reason::TruncatedIp)?;
        headers.ether_type = match first >> 4 {
            4 => ethernet::IPV4,
            6 => ethernet::IPV6,
            _ => return Err(Reason::MalformedIp),
        };
        return Ok(());
    }
    let header = bytes
        .load::<{ ethernet::HEADER_BYTES }>(0)
        .ok_or(Reason::TruncatedEthernet)?;
    let mut ether_type = be16(&header, ethernet::TYPE_OFFSET);
    let mut offset = ethernet::HEADER_BYTES;
    for depth in 0..=ethernet::MAX_TAGS {
        if ether_type != ethernet::VLAN && ether_type != ethernet::SERVICE_VLAN {
            break;
        }
        if depth == ethernet::MAX_TAGS {
            return Err(Reason::VlanDepth);
        }
        let tag = bytes
            .load::<{ ethernet::TAG_BYTES }>(offset)
            .ok_or(Reason::TruncatedEthernet)?;
        if depth == 0 {
            headers.vlan = be16(&tag, 0) & 0x0fff;
        }
        ether_type = be16(&tag, 2);
        offset += ethernet::TAG_BYTES;
    }
    headers.ether_type = ether_type;
    headers.l3_offset = offset as u16;
    Ok(())
}

#[inline(always)]
fn ipv4<B: PacketBytes>(bytes: &B, headers: &mut Headers) -> Result<usize, Reason> {
    let start = usize::from(headers.l3_offset);
    let header = bytes.load::<20>(start).ok_or(Reason::TruncatedIp)?;
    let header_bytes = u32::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_bytes < 20 {
        return Err(Reason::MalformedIp);
    }
    let mut total = u32::from(be16(&header, 2));
    let available = available(bytes, headers, start as u32, total);
    if total == 0 && available > 0xffff {
        // BIG TCP on its way out: the length does not fit its field (Linux 6.3, IPv4 BIG TCP).
        total = available;
    }
    if total < header_bytes || total > available {
        return Err(Reason::MalformedIp);
    }
    let fragment = be16(&header, 6);
    headers.source = Address::from_v4([header[12], header[13], header[14], header[15]]);
    headers.destination = Address::from_v4([header[16], header[17], header[18], header[19]]);
    headers.identification = u32::from(be16(&header, 4));
    headers.family = Family::V4 as u8;
    headers.hop_limit = header[8];
    headers.protocol = header[9];
    headers.l4_bytes = clamp_u16(total - header_bytes);
    if header_bytes > 20 {
        headers.marks |= marks::IPV4_OPTIONS;
    }
    fragment_fields(headers, fragment & 0x1fff, fragment & 0x2000 != 0)?;
    Ok(bounded(start + header_bytes as usize))
}

/// Bytes of the frame from `start` on; the parts outside the linear buffer are counted only where `wanted` says that
/// there must be some.
#[inline(always)]
fn available<B: PacketBytes>(bytes: &B, headers: &mut Headers, start: u32, wanted: u32) -> u32 {
    let linear = headers.frame_bytes.wrapping_sub(start);
    if wanted <= linear {
        return linear;
    }
    headers.frame_bytes = bytes.full_length() as u32;
    headers.frame_bytes.wrapping_sub(start)
}

/// Sets the fragment's kind; an atomic fragment stays a whole datagram.
#[inline(always)]
fn fragment_fields(headers: &mut Headers, units: u16, more: bool) -> Result<(), Reason> {
    headers.fragment_units = units;
    headers.fragment_bytes = headers.l4_bytes;
    if more {
        headers.marks |= marks::MORE_FRAGMENTS;
        if !headers.l4_bytes.is_multiple_of(8) {
            return Err(Reason::FragmentMalformed);
        }
    }
    headers.fragment = match (units, more) {
        (0, false) => FragmentKind::Whole,
        (0, true) => FragmentKind::First,
        _ => FragmentKind::Later,
    } as u8;
    if u32::from(units) * 8 + u32::from(headers.l4_bytes) > 0xffff {
        return Err(Reason::FragmentMalformed);
    }
    Ok(())
}

#[inline(always)]
const fn clamp_u16(value: u32) -> u16 {
    if value > 0xffff { 0xffff } else { value as u16 }
}

#[inline(always)]
fn ipv6<B: PacketBytes>(bytes: &B, headers: &mut Headers) -> Result<usize, Reason> {
    let start = usize::from(headers.l3_offset);
    let header = bytes.load::<40>(start).ok_or(Reason::TruncatedIp)?;
    if header[0] >> 4 != 6 {
        return Err(Reason::MalformedIp);
    }
    let mut payload = u32::from(be16(&header, 4));
    let available = available(bytes, headers, start as u32 + 40, payload);
    if payload == 0 && available > 0xffff {
        // BIG TCP on its way out (Linux 5.19).
        payload = available;
    }
    if payload > available {
        return Err(Reason::MalformedIp);
    }
    let mut source = [0; 16];
    source.copy_from_slice(&header[8..24]);
    let mut destination = [0; 16];
    destination.copy_from_slice(&header[24..40]);
    headers.source = Address::from_v6(source);
    headers.destination = Address::from_v6(destination);
    headers.family = Family::V6 as u8;
    headers.hop_limit = header[7];
    headers.protocol = header[6];
    headers.l4_bytes = clamp_u16(payload);
    Ok(bounded(start + 40))
}

/// Walks the extension headers, the first of which is `headers.protocol` at `headers.l4_offset`; each is read only
/// where it lies inside the packet. Returns where the transport header starts.
#[inline(always)]
fn extensions<B: PacketBytes, const MOST: usize>(bytes: &B, headers: &mut Headers) -> Result<usize, Reason> {
    let mut next = headers.protocol;
    let mut offset = bounded(usize::from(headers.l4_offset));
    let mut left = u32::from(headers.l4_bytes);
    for depth in 0..MOST {
        if !is_extension(next) {
            break;
        }
        let header = bytes.load::<8>(offset).ok_or(cut_short(headers))?;
        let header_bytes = match next {
            protocol::FRAGMENT => 8,
            // RFC 4302 2.2: in words of four bytes, less two.
            protocol::AUTHENTICATION => (u32::from(header[1]) + 2) * 4,
            _ => (u32::from(header[1]) + 1) * 8,
        };
        if header_bytes > left {
            return Err(cut_short(headers));
        }
        left -= header_bytes;
        match next {
            protocol::HOP_BY_HOP if depth > 0 => return Err(Reason::MalformedExtension),
            protocol::HOP_BY_HOP => headers.marks |= marks::HOP_BY_HOP,
            protocol::ROUTING if header[2] == 0 => return Err(Reason::RoutingHeader),
            protocol::FRAGMENT => {
                if headers.marked(marks::FRAGMENT_HEADER) {
                    return Err(Reason::FragmentMalformed);
                }
                headers.marks |= marks::FRAGMENT_HEADER;
                headers.identification = be32(&header, 4);
                headers.l4_bytes = clamp_u16(left);
                let field = be16(&header, 2);
                fragment_fields(headers, field >> 3, field & 1 != 0)?;
            }
            _ => {}
        }
        next = header[0];
        offset = bounded(offset + header_bytes as usize);
        if headers.fragment == FragmentKind::Later as u8 {
            break;
        }
    }
    headers.protocol = next;
    headers.l4_bytes = clamp_u16(left);
    if is_extension(next) && headers.fragment != FragmentKind::Later as u8 {
        return Err(Reason::ExtensionDepth);
    }
    Ok(offset)
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
    )
}

/// RFC 7112 5: a first fragment has to hold the whole chain of headers.
#[inline(always)]
const fn cut_short(headers: &Headers) -> Reason {
    if headers.fragment == FragmentKind::First as u8 {
        Reason::FragmentTiny
    } else {
        Reason::MalformedExtension
    }
}

#[inline(always)]
const fn transport_cut_short(headers: &Headers) -> Reason {
    if headers.fragment == FragmentKind::First as u8 {
        Reason::FragmentTiny
    } else {
        Reason::TruncatedTransport
    }
}

/// Header bytes that each transport has at least; zero where nothing is read.
#[inline(always)]
const fn least_bytes(protocol_number: u8) -> u16 {
    match protocol_number {
        protocol::TCP => tcp::HEADER_BYTES as u16,
        protocol::SCTP => 12,
        protocol::UDP | protocol::UDP_LITE | protocol::ICMP => 8,
        // MLD and echo have eight and more; RFC 4443 2.1 demands four.
        protocol::ICMPV6 => 8,
        _ => 0,
    }
}

#[inline(always)]
fn transport<B: PacketBytes>(bytes: &B, offset: usize, headers: &mut Headers) -> Result<(), Reason> {
    let least = least_bytes(headers.protocol);
    if least == 0 {
        return Ok(());
    }
    if headers.l4_bytes < least {
        return Err(transport_cut_short(headers));
    }
    let first = bytes.load::<8>(offset).ok_or(transport_cut_short(headers))?;
    match headers.protocol {
        protocol::TCP => {
            let rest = bytes.load::<8>(offset + 8).ok_or(transport_cut_short(headers))?;
            tcp_fields(&first, &rest, headers)
        }
        protocol::UDP | protocol::UDP_LITE => udp_fields(&first, headers),
        protocol::SCTP => {
            ports(&first, headers);
            Ok(())
        }
        _ => icmp_fields(&first, headers),
    }
}

#[inline(always)]
fn ports(first: &[u8; 8], headers: &mut Headers) {
    headers.source_port = be16(first, 0);
    headers.destination_port = be16(first, 2);
}

/// Flag combinations of real connections, indexed by FIN, SYN, RST, ACK as bits 0 to 3: SYN, RST, ACK, FIN+ACK,
/// SYN+ACK, RST+ACK. PSH, URG and the ECN bits do not matter.
const VALID_TCP_FLAGS: u32 = 1 << 2 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12;

#[inline(always)]
fn tcp_fields(first: &[u8; 8], rest: &[u8; 8], headers: &mut Headers) -> Result<(), Reason> {
    ports(first, headers);
    headers.tcp_sequence = be32(first, 4);
    headers.tcp_acknowledgement = be32(rest, 0);
    headers.tcp_flags = rest[5];
    let header_bytes = u16::from(rest[4] >> 4) * 4;
    if header_bytes < tcp::HEADER_BYTES as u16 || header_bytes > headers.l4_bytes {
        return Err(Reason::MalformedTransport);
    }
    let flags = u32::from(headers.tcp_flags);
    let combination = flags & 7 | flags >> 1 & 8;
    if VALID_TCP_FLAGS >> combination & 1 == 0 {
        return Err(Reason::TcpFlags);
    }
    Ok(())
}

#[inline(always)]
fn udp_fields(first: &[u8; 8], headers: &mut Headers) -> Result<(), Reason> {
    ports(first, headers);
    let length = be16(first, 4);
    let whole = headers.fragment == FragmentKind::Whole as u8;
    // UDP-Lite: the field is the checksum coverage, zero for all (RFC 3828 3.1). UDP: a jumbogram has zero.
    let lite_whole = headers.protocol == protocol::UDP_LITE && length == 0;
    let jumbo = headers.l4_bytes == 0xffff && length == 0;
    if lite_whole || jumbo {
        return Ok(());
    }
    if length < 8 || (whole && length > headers.l4_bytes) {
        return Err(Reason::MalformedTransport);
    }
    Ok(())
}

#[inline(always)]
fn icmp_fields(first: &[u8; 8], headers: &mut Headers) -> Result<(), Reason> {
    let v4 = headers.family == Family::V4 as u8;
    if v4 != (headers.protocol == protocol::ICMP) {
        return Err(Reason::IcmpFamily);
    }
    headers.destination_port = be16(first, 0);
    let kind = first[0];
    let echo = if v4 {
        kind == icmp::ECHO_REQUEST || kind == icmp::ECHO_REPLY
    } else {
        kind == icmpv6::ECHO_REQUEST || kind == icmpv6::ECHO_REPLY
    };
    if echo {
        headers.source_port = be16(first, 4);
    }
    Ok(())
}

/// Reads the headers of the packet that an ICMP error quotes: the IP header and the first eight bytes after it (RFC
/// 792, RFC 4443 3). Lengths inside the quote are not believed beyond the message; a quote of a later fragment names
/// no port and is refused.
#[inline(always)]
pub fn parse_quoted<B: PacketBytes>(bytes: &B, outer: &Headers, quoted: &mut Headers) -> Result<(), Reason> {
    quoted.clear(0);
    let start = bounded(usize::from(outer.l4_offset) + 8);
    let left = u32::from(outer.l4_bytes).wrapping_sub(8);
    let malformed = Reason::IcmpMalformedQuote;
    let offset = if outer.family == Family::V4 as u8 {
        let header = bytes.load::<20>(start).ok_or(malformed)?;
        let header_bytes = u32::from(header[0] & 0x0f) * 4;
        let in_fragment = be16(&header, 6) & 0x1fff != 0;
        if header[0] >> 4 != 4 || header_bytes < 20 || header_bytes + 8 > left || in_fragment {
            return Err(malformed);
        }
        quoted.source = Address::from_v4([header[12], header[13], header[14], header[15]]);
        quoted.destination = Address::from_v4([header[16], header[17], header[18], header[19]]);
        quoted.family = Family::V4 as u8;
        quoted.protocol = header[9];
        bounded(start + header_bytes as usize)
    } else {
        let header = bytes.load::<40>(start).ok_or(malformed)?;
        if header[0] >> 4 != 6 || left < 48 {
            return Err(malformed);
        }
        let mut address = [0; 16];
        address.copy_from_slice(&header[8..24]);
        quoted.source = Address::from_v6(address);
        address.copy_from_slice(&header[24..40]);
        quoted.destination = Address::from_v6(address);
        quoted.family = Family::V6 as u8;
        quoted.protocol = header[6];
        quoted.l4_offset = start as u16 + 40;
        quoted.l4_bytes = clamp_u16(left - 40);
        let offset = extensions::<B, QUOTED_EXTENSIONS>(bytes, quoted).map_err(|_| malformed)?;
        if quoted.l4_bytes < 8 || quoted.fragment == FragmentKind::Later as u8 {
            return Err(malformed);
        }
        offset
    };
    let first = bytes.load::<8>(offset).ok_or(malformed)?;
    match quoted.protocol {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP => ports(&first, quoted),
        protocol::ICMP | protocol::ICMPV6 => icmp_fields(&first, quoted).map_err(|_| malformed)?,
        _ => {}
    }
    Ok(())
}
