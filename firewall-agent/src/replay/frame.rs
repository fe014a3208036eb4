//! A captured packet as the frame that the firewall would have seen.

use firewall_common::{
    address::Family,
    headers::{self, FragmentKind, Headers},
    interface::LinkType,
    reason::Reason,
    wire::{ethernet, icmpv6, protocol},
};

use super::Captured;
use crate::trial::Way;

/// Numbers of the registry of link types (<https://www.tcpdump.org/linktypes.html>).
mod link {
    pub(super) const NULL: i32 = 0;
    pub(super) const ETHERNET: i32 = 1;
    pub(super) const LOOP: i32 = 108;
    /// Raw IP, as some systems number it in files.
    pub(super) const RAW_BSD: [i32; 2] = [12, 14];
    pub(super) const RAW: i32 = 101;
    pub(super) const LINUX_SLL: i32 = 113;
    pub(super) const IPV4: i32 = 228;
    pub(super) const IPV6: i32 = 229;
    pub(super) const LINUX_SLL2: i32 = 276;
}

/// Longest packet that is filled up where its end was not captured.
const MAX_WIRE_BYTES: usize = 256 << 10;

/// What an ICMP error quotes at the least that is looked at: its own header, an IP header, eight bytes.
const QUOTE_BYTES: usize = 8 + 60 + 8;

/// Longest frame that every kernel runs programs of either hook on: what fits a page beside what the kernel keeps there
/// (`net/bpf/test_run.c`, `bpf_test_init`).
const MOST_BYTES: usize = 3000;

/// What is kept of the transport header and behind it of a longer one: more than is read of any packet.
const KEPT_BYTES: usize = 256;

/// Why a packet cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Its headers were not captured to their end.
    Cut {
        /// Bytes that were captured.
        captured: usize,
        /// Bytes that there were.
        wire: u32,
    },
    /// A link that has no frames the firewall knows.
    Link(i32),
    /// The kernel runs no program on it: it is too short for an Ethernet frame, or too long.
    NotRun,
}

/// A frame that is used again for each packet.
#[derive(Debug, Default)]
pub struct Frame {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// What it starts with.
    pub(super) link: Option<LinkType>,
    /// Which way the capture says that it went.
    pub(super) way: Option<Way>,
    /// What was read of it, or why nothing could be.
    pub(super) headers: Option<Result<Headers, Reason>>,
    /// Whether its end was not captured, which no verdict depends on.
    pub(super) is_cut: bool,
}

impl Frame {
    /// Takes a packet in.
    pub fn take(&mut self, captured: &Captured<'_>) -> Result<(), Unusable> {
        self.bytes.clear();
        self.way = captured.way;
        self.is_cut = false;
        let link = self.put(captured)?;
        self.link = Some(link);
        let wire = usize::try_from(captured.wire_bytes).unwrap_or(usize::MAX);
        let missing = wire.saturating_sub(captured.bytes.len());
        let headers = if missing == 0 {
            headers::parse(&self.bytes.as_slice(), link)
        } else {
            let cut = Unusable::Cut {
                captured: captured.bytes.len(),
                wire: captured.wire_bytes,
            };
            self.is_cut = true;
            self.filled_up(link, missing).ok_or(cut)?
        };
        self.headers = Some(headers);
        Ok(())
    }

    /// Puts the bytes in, in the form of one of the two kinds of link.
    fn put(&mut self, captured: &Captured<'_>) -> Result<LinkType, Unusable> {
        let bytes = captured.bytes;
        let cut = Unusable::Cut {
            captured: bytes.len(),
            wire: captured.wire_bytes,
        };
        let number = captured.link;
        match number {
            link::ETHERNET => {
                self.bytes.extend_from_slice(bytes);
                Ok(LinkType::Ethernet)
            }
            link::RAW | link::IPV4 | link::IPV6 => {
                self.bytes.extend_from_slice(bytes);
                Ok(LinkType::RawIp)
            }
            _ if link::RAW_BSD.contains(&number) => {
                self.bytes.extend_from_slice(bytes);
                Ok(LinkType::RawIp)
            }
            link::NULL | link::LOOP => {
                self.bytes.extend_from_slice(bytes.get(4..).ok_or(cut)?);
                Ok(LinkType::RawIp)
            }
            link::LINUX_SLL => {
                let (kind, ether_type) = (bytes.get(1), bytes.get(14..16));
                self.cooked(kind, ether_type, bytes.get(16..)).ok_or(cut)
            }
            link::LINUX_SLL2 => {
                let (kind, ether_type) = (bytes.get(10), bytes.get(0..2));
                self.cooked(kind, ether_type, bytes.get(20..)).ok_or(cut)
            }
            other => Err(Unusable::Link(other)),
        }
    }

    /// A packet without its link-level header, of which only the `EtherType` is known.
    fn cooked(
        &mut self,
        kind: Option<&u8>,
        ether_type: Option<&[u8]>,
        rest: Option<&[u8]>,
    ) -> Option<LinkType> {
        const OUTGOING: u8 = 4;
        let (kind, ether_type, rest) = (kind?, ether_type?, rest?);
        self.way = self
            .way
            .or(Some(if *kind == OUTGOING { Way::Out } else { Way::In }));
        self.bytes.resize(ethernet::TYPE_OFFSET, 0);
        self.bytes.extend_from_slice(ether_type);
        self.bytes.extend_from_slice(rest);
        Some(LinkType::Ethernet)
    }

    /// Fills up what was not captured. The headers are read with two different fillings: where they are the same, they
    /// do not depend on what is missing, and nothing behind them is ever looked at.
    fn filled_up(&mut self, link: LinkType, missing: usize) -> Option<Result<Headers, Reason>> {
        let captured = self.bytes.len();
        let whole = captured
            .checked_add(missing)
            .filter(|bytes| *bytes <= MAX_WIRE_BYTES)?;
        self.bytes.resize(whole, 0xff);
        let one = headers::parse(&self.bytes.as_slice(), link).ok()?;
        self.bytes[captured..].fill(0);
        let other = headers::parse(&self.bytes.as_slice(), link).ok()?;
        let needed = usize::from(one.l4_offset) + if is_error(&one) { QUOTE_BYTES } else { 0 };
        let is_same = bytemuck::bytes_of(&one) == bytemuck::bytes_of(&other);
        (is_same && captured >= needed).then_some(Ok(other))
    }
}

impl Frame {
    /// The frame and what was read of it, where it could be read.
    pub(crate) fn parsed(&self) -> Option<(&[u8], LinkType, &Headers)> {
        let headers = self.headers.as_ref()?.as_ref().ok()?;
        Some((&self.bytes, self.link?, headers))
    }

    /// Leaves out the end of a packet that is too long to be put to the kernel's programs, where no verdict depends on
    /// it: all that is read of it stays the same but for its length.
    pub(super) fn shorten(&mut self) {
        if self.bytes.len() <= MOST_BYTES {
            return;
        }
        if let Some(shorter) = self.shorter() {
            self.bytes = shorter;
        }
    }

    fn shorter(&self) -> Option<Vec<u8>> {
        let (headers, link) = (self.headers?.ok()?, self.link?);
        let (network, transport) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
        if headers.fragment != FragmentKind::Whole as u8 {
            return None;
        }
        let mut bytes = self.bytes.get(..transport + KEPT_BYTES)?.to_vec();
        let rest = bytes.len() - network;
        let mut put = |at: usize, length: usize| -> Option<()> {
            let length = u16::try_from(length).ok()?.to_be_bytes();
            bytes.get_mut(at..at + 2)?.copy_from_slice(&length);
            Some(())
        };
        match headers.ip_family()? {
            Family::V4 => put(network + 2, rest)?,
            Family::V6 => put(network + 4, rest - 40)?,
        }
        if headers.protocol == protocol::UDP {
            put(transport + 4, KEPT_BYTES)?;
        }
        let shorter = headers::parse(&bytes.as_slice(), link).ok()?;
        let same_length = Headers {
            frame_bytes: headers.frame_bytes,
            l4_bytes: headers.l4_bytes,
            fragment_bytes: headers.fragment_bytes,
            ..shorter
        };
        (bytemuck::bytes_of(&same_length) == bytemuck::bytes_of(&headers)).then_some(bytes)
    }
}

/// Whether it quotes another packet.
fn is_error(headers: &Headers) -> bool {
    match headers.protocol {
        protocol::ICMP => !matches!(headers.icmp_type(), 0 | 8 | 13..=18),
        protocol::ICMPV6 => headers.icmp_type() < icmpv6::FIRST_INFORMATION,
        _ => false,
    }
}
