//! Captures, written byte by byte.

use std::path::Path;

use firewall_agent::trial::{Question, Way, frame};

/// A packet of a capture.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) milliseconds: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) wire_bytes: usize,
}

/// A TCP segment without data: SYN, SYN/ACK (0x12), ACK (0x10), …
pub(crate) fn tcp(milliseconds: u64, from: &str, to: &str, flags: u8) -> Packet {
    let (from, to): (std::net::SocketAddr, std::net::SocketAddr) =
        (from.parse().expect("an end"), to.parse().expect("an end"));
    let question = Question {
        way: Way::In,
        protocol: 6,
        source: from.ip(),
        destination: to.ip(),
        source_port: from.port(),
        destination_port: to.port(),
        icmp: None,
        interface: None,
        vlan: None,
    };
    let mut bytes = frame(&question, true);
    let at = bytes.len() - 20 + 13;
    bytes[at] = flags;
    Packet {
        milliseconds,
        wire_bytes: bytes.len(),
        bytes,
    }
}

impl Packet {
    /// With so many bytes of data, of which only the first `captured` bytes of the packet are in the capture.
    pub(crate) fn cut(mut self, data: usize, captured: usize) -> Self {
        let length = self.bytes.len() - 14 + data;
        self.bytes[16..18].copy_from_slice(&u16::try_from(length).expect("a packet").to_be_bytes());
        self.wire_bytes += data;
        self.bytes.resize(self.wire_bytes, 0x5a);
        self.bytes.truncate(captured);
        self
    }
}

/// A pcap file with times in microseconds.
pub(crate) fn write_pcap(path: &Path, link: u32, packets: &[Packet]) {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, link] {
        file.extend(word.to_le_bytes());
    }
    for packet in packets {
        let words = [
            1_700_000_000 + packet.milliseconds / 1000,
            packet.milliseconds % 1000 * 1000,
            packet.bytes.len() as u64,
            packet.wire_bytes as u64,
        ];
        for word in words {
            file.extend(u32::try_from(word).expect("32 bits").to_le_bytes());
        }
        file.extend(&packet.bytes);
    }
    std::fs::write(path, file).expect("written");
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(12 + body.len()).expect("a block").to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

/// A pcapng file with times in nanoseconds, which says of each packet whether it went out.
pub(crate) fn write_pcapng(path: &Path, packets: &[(Packet, bool)]) {
    let section = [
        0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
    ];
    let interface = [1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    let mut file = [block(0x0a0d_0d0a, &section), block(1, &interface)].concat();
    for (packet, is_outgoing) in packets {
        let time = (1_700_000_000_000 + packet.milliseconds) * 1_000_000;
        let mut body = vec![0; 4];
        for word in [
            time >> 32,
            time & 0xffff_ffff,
            packet.bytes.len() as u64,
            packet.wire_bytes as u64,
        ] {
            body.extend(u32::try_from(word).expect("32 bits").to_le_bytes());
        }
        body.extend(&packet.bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend([2, 0, 4, 0, if *is_outgoing { 2 } else { 1 }, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(block(6, &body));
    }
    std::fs::write(path, file).expect("written");
}
