//! Packets that were dropped, as far as the kernel side has handed them on.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use firewall_common::{
    capture::Viewer, counters::Hook, headers::Headers, interface::LinkType, wire::protocol,
};

use crate::{
    daemon::{agent::Agent, capture::whole, describe::protocol_name, events::interface_name},
    dataplane::CapturedFrame,
    replay::{Captured, Frame},
};

/// Most packets that are told apart.
const MOST: usize = 20_000;

/// Of a registry of link types (<https://www.tcpdump.org/linktypes.html>).
const LINK_ETHERNET: i32 = 1;
const LINK_RAW: i32 = 101;

/// What is told apart of a packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::daemon) struct DroppedPacket {
    pub(in crate::daemon) way: Way,
    pub(in crate::daemon) interface: Arc<str>,
    protocol: u8,
    /// With the identifier of an ICMP echo as its port.
    source: SocketAddr,
    /// With type and code of an ICMP message as its port.
    destination: SocketAddr,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::daemon) enum Way {
    In,
    Out,
}

impl Way {
    pub(in crate::daemon) const fn hook(self) -> Hook {
        match self {
            Self::In => Hook::Ingress,
            Self::Out => Hook::Egress,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

impl DroppedPacket {
    fn new(headers: &Headers, way: Way, interface: Arc<str>) -> Option<Self> {
        let family = headers.ip_family()?;
        Some(Self {
            way,
            interface,
            protocol: headers.protocol,
            source: SocketAddr::new(headers.source.to_ip(family), headers.source_port),
            destination: SocketAddr::new(headers.destination.to_ip(family), headers.destination_port),
        })
    }

    /// The other end.
    pub(in crate::daemon) const fn remote(&self) -> IpAddr {
        match self.way {
            Way::In => self.source.ip(),
            Way::Out => self.destination.ip(),
        }
    }

    /// `in tcp 22`, `out icmp 8/0`, `in 47`.
    pub(super) fn service(&self) -> String {
        format!("{} {}", self.way.name(), self.what())
    }

    fn what(&self) -> String {
        let (name, port) = (protocol_name(self.protocol), self.destination.port());
        match self.protocol {
            protocol::ICMP | protocol::ICMPV6 => format!("{name} {}/{}", port >> 8, port & 0xff),
            _ if self.has_ports() => format!("{name} {port}"),
            _ => name,
        }
    }

    /// `tcp 192.0.2.1:4711 to 198.51.100.7:22`.
    pub(super) fn describe(&self) -> String {
        let name = protocol_name(self.protocol);
        if self.has_ports() {
            return format!("{name} {} to {}", self.source, self.destination);
        }
        format!(
            "{} {} to {}",
            self.what(),
            self.source.ip(),
            self.destination.ip()
        )
    }

    const fn has_ports(&self) -> bool {
        matches!(
            self.protocol,
            protocol::TCP | protocol::UDP | protocol::SCTP | protocol::UDP_LITE
        )
    }
}

/// One of the packets that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// Its first bytes.
    bytes: Vec<u8>,
    /// Bytes that it had.
    length: u32,
    link: LinkType,
    /// How many there were.
    pub(super) count: u64,
}

impl Sample {
    /// Shows the frame as the programs have seen it, as far as any verdict goes.
    pub(super) fn judged(&self, packet: &DroppedPacket, ask: impl FnOnce(&[u8], LinkType)) {
        let mut frame = Frame::default();
        let taken = frame.take(&captured(&self.bytes, self.length, self.link));
        let parsed = frame.parsed().filter(|_| taken.is_ok());
        let Some((bytes, link, _)) = parsed else {
            // It could be read when it came.
            tracing::warn!(packet = packet.describe(), "a packet cannot be read again");
            return;
        };
        ask(bytes, link);
    }
}

/// All that were handed on.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    packets: BTreeMap<DroppedPacket, Sample>,
    /// Names by index.
    interfaces: HashMap<u32, Arc<str>>,
    /// Those that cannot be asked about.
    pub(super) unusable: u64,
}

impl Dropped {
    /// None yet, on interfaces of these names by index.
    pub(super) fn on(interfaces: impl IntoIterator<Item = (u32, String)>) -> Self {
        let named = interfaces.into_iter().map(|(index, name)| (index, name.into()));
        Self {
            interfaces: named.collect(),
            ..Self::default()
        }
    }

    /// A packet as it was handed on.
    pub(super) fn take(&mut self, captured_frame: CapturedFrame) {
        let head = captured_frame.head;
        let link = if head.link_type == LinkType::Ethernet as u8 {
            LinkType::Ethernet
        } else {
            LinkType::RawIp
        };
        let (length, bytes) = whole(&head, captured_frame.bytes, link == LinkType::Ethernet);
        let way = if head.hook == Hook::Ingress as u8 {
            Way::In
        } else {
            Way::Out
        };
        let interface = self.interface(head.interface);
        let mut frame = Frame::default();
        let taken = frame.take(&captured(&bytes, length, link));
        let parsed = frame.parsed().filter(|_| taken.is_ok());
        let packet = parsed.and_then(|(_, _, headers)| DroppedPacket::new(headers, way, interface));
        let Some(packet) = packet else {
            self.unusable += 1;
            return;
        };
        let is_full = self.packets.len() >= MOST;
        match self.packets.entry(packet) {
            Entry::Occupied(mut known) => known.get_mut().count += 1,
            Entry::Vacant(_) if is_full => self.unusable += 1,
            Entry::Vacant(place) => {
                place.insert(Sample {
                    bytes,
                    length,
                    link,
                    count: 1,
                });
            }
        }
    }

    /// Its name. An interface that has been attached since costs a system call the first time.
    fn interface(&mut self, index: u32) -> Arc<str> {
        let name = || interface_name(index).into();
        self.interfaces.entry(index).or_insert_with(name).clone()
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = (&DroppedPacket, &Sample)> {
        self.packets.iter()
    }

    pub(super) fn len(&self) -> u64 {
        self.packets.len() as u64
    }
}

const fn captured(bytes: &[u8], length: u32, link: LinkType) -> Captured<'_> {
    Captured {
        number: 1,
        time_nanoseconds: 0,
        link: match link {
            LinkType::Ethernet => LINK_ETHERNET,
            LinkType::RawIp => LINK_RAW,
        },
        wire_bytes: length,
        way: None,
        bytes,
    }
}

impl Agent {
    /// Hands no more packets to a shadow run.
    pub(super) fn end_sampling(&self) {
        if let Err(error) = self.kernel().dataplane.end_capture(Viewer::Shadow) {
            tracing::warn!(%error, "dropped packets are still handed on; the kernel side ends that by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use firewall_common::capture::CapturedHead;

    use super::*;
    use crate::engine::Segment;

    fn segment(number: u8, port: u16) -> Segment {
        Segment {
            source: [192, 0, 2, 1].into(),
            destination: [198, 51, 100, 7].into(),
            protocol: number,
            source_port: 4711,
            destination_port: port,
        }
    }

    fn frame(bytes: Vec<u8>, length: usize) -> CapturedFrame {
        CapturedFrame {
            head: CapturedHead {
                length: u32::try_from(length).expect("it is short"),
                captured: u16::try_from(bytes.len()).expect("it is short"),
                ..CapturedHead::zeroed()
            },
            bytes,
        }
    }

    #[test]
    fn packets_that_are_alike_are_one_and_each_kind_says_what_it_is() {
        let mut dropped = Dropped::default();
        for (number, port) in [(6, 22), (6, 22), (6, 23), (1, 0), (47, 0)] {
            let bytes = segment(number, port).opening();
            let length = bytes.len();
            dropped.take(frame(bytes, length));
        }
        let told: Vec<_> = dropped
            .packets()
            .map(|(packet, sample)| (packet.service(), packet.describe(), sample.count))
            .collect();
        let expected = [
            ("in icmp 8/0", "icmp 8/0 192.0.2.1 to 198.51.100.7", 1),
            ("in tcp 22", "tcp 192.0.2.1:4711 to 198.51.100.7:22", 2),
            ("in tcp 23", "tcp 192.0.2.1:4711 to 198.51.100.7:23", 1),
            ("in 47", "47 192.0.2.1 to 198.51.100.7", 1),
        ];
        let expected = expected.map(|(service, text, count)| (service.to_owned(), text.to_owned(), count));
        assert_eq!(told, expected);
        assert_eq!(dropped.unusable, 0);
    }

    #[test]
    fn a_cut_packet_is_judged_where_its_headers_are_there_and_counted_where_not() {
        let mut dropped = Dropped::default();
        let mut long = segment(6, 22).opening();
        // The length of the IP packet, 1400 bytes of data behind its headers.
        long[16..18].copy_from_slice(&1440u16.to_be_bytes());
        let length = long.len() + 1400;
        dropped.take(frame(long.clone(), length));
        dropped.take(frame(long[..40].to_vec(), length));
        assert_eq!((dropped.len(), dropped.unusable), (1, 1));
        let mut shown = Vec::new();
        for (packet, sample) in dropped.packets() {
            sample.judged(packet, |bytes, _| shown.push(bytes.len()));
        }
        assert_eq!(shown, [length], "as long as it was");
    }
}
