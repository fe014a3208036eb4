//! Plain packets: TCP or UDP right behind an IP header without options, in an untagged Ethernet frame, in one piece,
//! and of TCP those that carry nothing but an ACK, and those that open a connection. Nearly every packet of a live flow
//! is one, and so is nearly every packet that belongs to no flow.
//!
//! What is read here is what [`crate::headers::parse`] finds in the same packet, only sooner; everything else is left
//! to that.

use bytemuck::{Pod, Zeroable};

use crate::{
    address::{Address, Family},
    bytes::{PacketBytes, Window},
    counters::Hook,
    flow::FlowKey,
    prefix_set::Entry,
    wire::{ethernet, protocol, tcp},
};

/// What the path of a live flow needs to know of a plain packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    /// Its flow.
    pub key: FlowKey,
    /// TCP acknowledgement number.
    pub tcp_acknowledgement: u32,
    /// A TCP segment with SYN and without ACK.
    pub opens: bool,
}

/// A plain packet that no assured flow has passed, on its way to the program of the slot in force. One cache line.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct PlainRecord {
    /// Its flow.
    pub key: FlowKey,
    /// Hash of the key.
    pub hash: u64,
    /// Bytes of the frame from the link-level header on.
    pub frame_bytes: u32,
    /// [`crate::interface::InterfaceRecord::slot`].
    pub interface_slot: u8,
    /// The policy slot that judges the packet.
    pub policy_slot: u8,
    /// 1 where the packet opens a TCP connection.
    pub opens: u8,
    /// Spare.
    pub reserved: u8,
    /// [`crate::tables::SlowTables::list_root`] of the remote end, or zero where there are no block lists.
    pub list_root: u64,
}

const _: () = assert!(size_of::<PlainRecord>() == 64);

impl PlainRecord {
    /// Of a packet of this hash.
    #[inline(always)]
    #[must_use]
    pub const fn new(
        packet: &Plain,
        hash: u64,
        frame_bytes: u32,
        interface_slot: u8,
        policy_slot: u8,
        list_root: Entry,
    ) -> Self {
        Self {
            key: packet.key,
            hash,
            frame_bytes,
            interface_slot,
            policy_slot,
            opens: packet.opens as u8,
            reserved: 0,
            list_root: list_root.0,
        }
    }
}

/// IPv4 without options, up to where UDP ends.
const V4_UDP: usize = 42;
/// IPv4 without options, up to where the fixed part of TCP ends.
const V4_TCP: usize = 54;
const V6_UDP: usize = 62;
const V6_TCP: usize = 74;

const VERSION_4_HEADER_20: u8 = 0x45;
/// More fragments, and the fragment offset.
const FRAGMENT: u16 = 0x3fff;
const TCP_BITS: u8 = tcp::SYN | tcp::FIN | tcp::RST | tcp::ACK;

impl Plain {
    /// Reads a packet seen at `hook`, or `None` where it is not plain.
    #[inline(always)]
    #[must_use]
    pub fn read<B: PacketBytes>(bytes: &B, hook: Hook) -> Option<Self> {
        let link = bytes.window::<{ ethernet::HEADER_BYTES }>(0)?;
        match link.be16::<{ ethernet::TYPE_OFFSET }>() {
            ethernet::IPV4 => v4(bytes, hook),
            ethernet::IPV6 => v6(bytes, hook),
            _ => None,
        }
    }
}

#[inline(always)]
fn v4<B: PacketBytes>(bytes: &B, hook: Hook) -> Option<Plain> {
    let packet = bytes.window::<V4_UDP>(0)?;
    let total = u32::from(packet.be16::<16>());
    let is_whole = packet.be16::<20>() & FRAGMENT == 0 && total + 14 <= bytes.length() as u32;
    if packet.u8::<14>() != VERSION_4_HEADER_20 || !is_whole {
        return None;
    }
    // Less than the header has wraps, and is caught by the length of the whole below.
    let l4_bytes = total.wrapping_sub(20);
    let protocol_number = packet.u8::<23>();
    let (mut tcp_acknowledgement, mut opens) = (0, false);
    if protocol_number == protocol::TCP {
        let whole = bytes.window::<V4_TCP>(0)?;
        opens = segment(whole.u8::<46>(), whole.u8::<47>(), l4_bytes)?;
        tcp_acknowledgement = whole.be32::<42>();
    } else {
        datagram(protocol_number, packet.be16::<38>(), l4_bytes)?;
    }
    let address = |low: u32| Address {
        high: 0,
        low: u64::from(low),
    };
    let ends = Ends {
        source: address(packet.be32::<26>()),
        destination: address(packet.be32::<30>()),
        source_port: packet.be16::<34>(),
        destination_port: packet.be16::<36>(),
    };
    Some(Plain {
        key: ends.key(Family::V4, protocol_number, hook),
        tcp_acknowledgement,
        opens,
    })
}

#[inline(always)]
fn v6<B: PacketBytes>(bytes: &B, hook: Hook) -> Option<Plain> {
    let packet = bytes.window::<V6_UDP>(0)?;
    let l4_bytes = u32::from(packet.be16::<18>());
    if packet.u8::<14>() >> 4 != 6 || l4_bytes + 54 > bytes.length() as u32 {
        return None;
    }
    let protocol_number = packet.u8::<20>();
    let (mut tcp_acknowledgement, mut opens) = (0, false);
    if protocol_number == protocol::TCP {
        let whole = bytes.window::<V6_TCP>(0)?;
        opens = segment(whole.u8::<66>(), whole.u8::<67>(), l4_bytes)?;
        tcp_acknowledgement = whole.be32::<62>();
    } else {
        datagram(protocol_number, packet.be16::<58>(), l4_bytes)?;
    }
    let ends = Ends {
        source: v6_address::<22, 30>(&packet),
        destination: v6_address::<38, 46>(&packet),
        source_port: packet.be16::<54>(),
        destination_port: packet.be16::<56>(),
    };
    Some(Plain {
        key: ends.key(Family::V6, protocol_number, hook),
        tcp_acknowledgement,
        opens,
    })
}

#[inline(always)]
fn v6_address<const HIGH: usize, const LOW: usize>(packet: &Window<'_, V6_UDP>) -> Address {
    Address {
        high: packet.be64::<HIGH>(),
        low: packet.be64::<LOW>(),
    }
}

/// Whether a segment opens a connection; `None` where it is cut short, or more than that or an acknowledgement.
#[inline(always)]
const fn segment(offset_byte: u8, flags: u8, l4_bytes: u32) -> Option<bool> {
    let header_bytes = (offset_byte >> 4) as u32 * 4;
    let is_sound = header_bytes >= tcp::HEADER_BYTES as u32 && header_bytes <= l4_bytes && l4_bytes <= 0xffff;
    if !is_sound {
        return None;
    }
    match flags & TCP_BITS {
        tcp::ACK => Some(false),
        tcp::SYN => Some(true),
        _ => None,
    }
}

/// `None` where this is no UDP datagram, or not a whole one.
#[inline(always)]
fn datagram(protocol_number: u8, length: u16, l4_bytes: u32) -> Option<()> {
    let length = u32::from(length);
    let is_sound = length >= 8 && length <= l4_bytes && l4_bytes <= 0xffff;
    (is_sound && protocol_number == protocol::UDP).then_some(())
}

/// Both ends, as they stand in the packet.
struct Ends {
    source: Address,
    destination: Address,
    source_port: u16,
    destination_port: u16,
}

impl Ends {
    #[inline(always)]
    fn key(self, family: Family, protocol_number: u8, hook: Hook) -> FlowKey {
        let (remote, local, remote_port, local_port) = match hook {
            Hook::Ingress => (
                self.source,
                self.destination,
                self.source_port,
                self.destination_port,
            ),
            Hook::Egress => (
                self.destination,
                self.source,
                self.destination_port,
                self.source_port,
            ),
        };
        FlowKey {
            remote,
            local,
            remote_port,
            local_port,
            protocol: protocol_number,
            family: family as u8,
            reserved: 0,
        }
    }
}
