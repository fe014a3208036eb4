//! Packets, made byte by byte, with right checksums; and wrong ones where a test wants them.

use std::net::{IpAddr, SocketAddr};

use firewall_common::wire::{ethernet, icmp, icmpv6, protocol};

/// A 20-byte TCP header and its data.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Flags.
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Data.
    pub data: Vec<u8>,
}

impl Segment {
    /// With these flags and no data; both numbers are 1.
    #[must_use]
    pub fn new(flags: u8) -> Self {
        Self {
            flags,
            sequence: 1,
            acknowledgement: 1,
            data: Vec::new(),
        }
    }

    /// With this sequence number.
    #[must_use]
    pub fn sequence(mut self, sequence: u32) -> Self {
        self.sequence = sequence;
        self
    }

    /// With this acknowledgement number.
    #[must_use]
    pub fn acknowledgement(mut self, acknowledgement: u32) -> Self {
        self.acknowledgement = acknowledgement;
        self
    }

    /// With so many bytes of data.
    #[must_use]
    pub fn data(mut self, bytes: usize) -> Self {
        self.data = vec![0x5a; bytes];
        self
    }
}

/// Place of a piece in its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Offset in units of eight bytes.
    pub units: u16,
    /// More pieces follow.
    pub more: bool,
}

/// An IP packet.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Protocol of the payload.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Identification, for fragments.
    pub identification: u16,
    /// Whether it is a piece of a datagram. IPv6 has a fragment header where this is set.
    pub piece: Option<Piece>,
    /// IPv4 options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers: the number of each and its bytes, the next-header byte in front.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// What follows the IP header.
    pub payload: Vec<u8>,
}

impl Packet {
    /// Any protocol, any payload.
    #[must_use]
    pub fn new(source: IpAddr, destination: IpAddr, protocol: u8, payload: Vec<u8>) -> Self {
        Self {
            source,
            destination,
            protocol,
            hop_limit: 64,
            identification: 1,
            piece: None,
            options: Vec::new(),
            extensions: Vec::new(),
            payload,
        }
    }

    /// A TCP segment.
    #[must_use]
    pub fn tcp(from: SocketAddr, to: SocketAddr, segment: &Segment) -> Self {
        let mut bytes = ports(from, to);
        bytes.extend(segment.sequence.to_be_bytes());
        bytes.extend(segment.acknowledgement.to_be_bytes());
        bytes.extend([5 << 4, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(&segment.data);
        Self::with_checksum(from.ip(), to.ip(), protocol::TCP, bytes, 16)
    }

    /// A UDP datagram with so many bytes of data.
    #[must_use]
    pub fn udp(from: SocketAddr, to: SocketAddr, data_bytes: usize) -> Self {
        let mut bytes = ports(from, to);
        bytes.extend(be16(8 + data_bytes));
        bytes.extend([0, 0]);
        bytes.resize(8 + data_bytes, 0x5a);
        Self::with_checksum(from.ip(), to.ip(), protocol::UDP, bytes, 6)
    }

    /// A UDP-Lite datagram with so many bytes of data, all covered by the checksum (RFC 3828).
    #[must_use]
    pub fn udp_lite(from: SocketAddr, to: SocketAddr, data_bytes: usize) -> Self {
        let mut packet = Self::udp(from, to, data_bytes);
        packet.payload[4..8].fill(0);
        Self::with_checksum(from.ip(), to.ip(), protocol::UDP_LITE, packet.payload, 6)
    }

    /// An ICMP message of the addresses' family: type, code, the four bytes after the checksum, and the rest.
    #[must_use]
    pub fn icmp(source: IpAddr, destination: IpAddr, kind: u8, code: u8, word: [u8; 4], body: &[u8]) -> Self {
        let mut bytes = vec![kind, code, 0, 0];
        bytes.extend(word);
        bytes.extend(body);
        let number = if source.is_ipv4() {
            protocol::ICMP
        } else {
            protocol::ICMPV6
        };
        Self::with_checksum(source, destination, number, bytes, 2)
    }

    /// An echo request with this identifier.
    #[must_use]
    pub fn echo_request(source: IpAddr, destination: IpAddr, identifier: u16) -> Self {
        let kind = if source.is_ipv4() {
            icmp::ECHO_REQUEST
        } else {
            icmpv6::ECHO_REQUEST
        };
        let [high, low] = identifier.to_be_bytes();
        Self::icmp(source, destination, kind, 0, [high, low, 0, 1], b"ping")
    }

    /// An echo reply with this identifier.
    #[must_use]
    pub fn echo_reply(source: IpAddr, destination: IpAddr, identifier: u16) -> Self {
        let kind = if source.is_ipv4() {
            icmp::ECHO_REPLY
        } else {
            icmpv6::ECHO_REPLY
        };
        let [high, low] = identifier.to_be_bytes();
        Self::icmp(source, destination, kind, 0, [high, low, 0, 1], b"ping")
    }

    /// An ICMP error from `reporter` to `destination` that quotes up to 128 bytes of a packet. Type and code are
    /// given for both families.
    #[must_use]
    pub fn icmp_error(
        reporter: IpAddr,
        destination: IpAddr,
        v4: (u8, u8),
        v6: (u8, u8),
        quoted: &Self,
    ) -> Self {
        let (kind, code) = if reporter.is_ipv4() { v4 } else { v6 };
        let bytes = quoted.ip();
        let quote = &bytes[..bytes.len().min(128)];
        Self::icmp(reporter, destination, kind, code, [0, 0, 5, 0], quote)
    }

    fn with_checksum(
        source: IpAddr,
        destination: IpAddr,
        protocol_number: u8,
        mut payload: Vec<u8>,
        place: usize,
    ) -> Self {
        let mut pseudo = Vec::new();
        if protocol_number != protocol::ICMP {
            pseudo.extend(octets(source));
            pseudo.extend(octets(destination));
            pseudo.extend(u32::try_from(payload.len()).expect("a packet").to_be_bytes());
            pseudo.extend([0, 0, 0, protocol_number]);
        }
        pseudo.extend(&payload);
        payload[place..place + 2].copy_from_slice(&checksum(&pseudo));
        Self::new(source, destination, protocol_number, payload)
    }

    /// With this TTL or hop limit.
    #[must_use]
    pub fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// With this identification.
    #[must_use]
    pub fn identification(mut self, identification: u16) -> Self {
        self.identification = identification;
        self
    }

    /// As a piece of a datagram.
    #[must_use]
    pub fn piece(mut self, units: u16, more: bool) -> Self {
        self.piece = Some(Piece { units, more });
        self
    }

    /// With these IPv4 options, padded with "end of options".
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// With a further IPv6 extension header: everything after its next-header byte, the length byte included.
    #[must_use]
    pub fn extension(mut self, number: u8, rest: &[u8]) -> Self {
        let mut bytes = vec![0];
        bytes.extend(rest);
        self.extensions.push((number, bytes));
        self
    }

    /// Only the first bytes of the payload; the lengths in the headers above it follow.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self.payload.truncate(bytes);
        self
    }

    /// The datagram in pieces of at most so many bytes of payload, a multiple of eight.
    #[must_use]
    pub fn fragments(&self, piece_bytes: usize) -> Vec<Self> {
        let count = self.payload.len().div_ceil(piece_bytes);
        self.payload
            .chunks(piece_bytes)
            .enumerate()
            .map(|(number, chunk)| {
                let units = u16::try_from(number * piece_bytes / 8).expect("a datagram");
                Self {
                    piece: Some(Piece {
                        units,
                        more: number + 1 < count,
                    }),
                    payload: chunk.to_vec(),
                    ..self.clone()
                }
            })
            .collect()
    }

    /// From the IP header on.
    #[must_use]
    pub fn ip(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => self.ipv4(),
            (IpAddr::V6(_), IpAddr::V6(_)) => self.ipv6(),
            _ => panic!("a packet has one family"),
        }
    }

    fn ipv4(&self) -> Vec<u8> {
        let header_bytes = 20 + self.options.len();
        let words = u8::try_from(header_bytes / 4).expect("at most fifteen words");
        let mut bytes = vec![4 << 4 | words, 0];
        bytes.extend(be16(header_bytes + self.payload.len()));
        bytes.extend(self.identification.to_be_bytes());
        let fragment = self
            .piece
            .map_or(0x4000, |piece| piece.units | u16::from(piece.more) << 13);
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([self.hop_limit, self.protocol, 0, 0]);
        bytes.extend(octets(self.source));
        bytes.extend(octets(self.destination));
        bytes.extend(&self.options);
        let sum = checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum);
        bytes.extend(&self.payload);
        bytes
    }

    fn ipv6(&self) -> Vec<u8> {
        let mut headers = self.extensions.clone();
        if let Some(piece) = self.piece {
            let mut header = vec![0, 0];
            header.extend((piece.units << 3 | u16::from(piece.more)).to_be_bytes());
            header.extend(u32::from(self.identification).to_be_bytes());
            headers.push((protocol::FRAGMENT, header));
        }
        let mut following = self.protocol;
        let mut chain = Vec::new();
        for (number, mut header) in headers.into_iter().rev() {
            header[0] = following;
            following = number;
            header.extend(chain);
            chain = header;
        }
        let mut bytes = vec![6 << 4, 0, 0, 0];
        bytes.extend(be16(chain.len() + self.payload.len()));
        bytes.extend([following, self.hop_limit]);
        bytes.extend(octets(self.source));
        bytes.extend(octets(self.destination));
        bytes.extend(chain);
        bytes.extend(&self.payload);
        bytes
    }

    /// As an untagged Ethernet frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        self.tagged(&[])
    }

    /// As an Ethernet frame with these VLAN tags, the outermost first; all but the innermost are service tags.
    #[must_use]
    pub fn tagged(&self, vlans: &[u16]) -> Vec<u8> {
        let ether_type = if self.source.is_ipv4() {
            ethernet::IPV4
        } else {
            ethernet::IPV6
        };
        frame(vlans, ether_type, &self.ip())
    }
}

/// An Ethernet frame with any payload.
#[must_use]
pub fn frame(vlans: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (depth, vlan) in vlans.iter().enumerate() {
        let innermost = depth + 1 == vlans.len();
        let tag = if innermost {
            ethernet::VLAN
        } else {
            ethernet::SERVICE_VLAN
        };
        bytes.extend(tag.to_be_bytes());
        bytes.extend(vlan.to_be_bytes());
    }
    bytes.extend(ether_type.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn ports(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    [from.port().to_be_bytes(), to.port().to_be_bytes()].concat()
}

fn be16(number: usize) -> [u8; 2] {
    u16::try_from(number)
        .expect("lengths of packets have 16 bits")
        .to_be_bytes()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071) over bytes in which its own place is zero.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).expect("folded")).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TransportSlice};

    use super::*;

    fn ends(v6: bool) -> (SocketAddr, SocketAddr) {
        let (from, to) = if v6 {
            ("[fd00::1]:40000", "[fd00::2]:443")
        } else {
            ("10.0.0.1:40000", "10.0.0.2:443")
        };
        (from.parse().expect("an address"), to.parse().expect("an address"))
    }

    #[test]
    fn another_parser_reads_the_same() {
        for v6 in [false, true] {
            let (from, to) = ends(v6);
            let frame = Packet::tcp(from, to, &Segment::new(0x12).sequence(7).data(3)).tagged(&[5]);
            let packet = SlicedPacket::from_ethernet(&frame).expect("a packet");
            let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
                panic!("no TCP: {packet:?}");
            };
            assert_eq!((tcp.source_port(), tcp.destination_port()), (40_000, 443));
            assert_eq!((tcp.sequence_number(), tcp.syn(), tcp.ack()), (7, true, true));
            assert_eq!(tcp.payload().len(), 3);
            let sum = match packet.net.as_ref().expect("IP") {
                etherparse::NetSlice::Ipv4(ip) => tcp
                    .to_header()
                    .calc_checksum_ipv4(&ip.header().to_header(), tcp.payload()),
                etherparse::NetSlice::Ipv6(ip) => tcp
                    .to_header()
                    .calc_checksum_ipv6(&ip.header().to_header(), tcp.payload()),
                etherparse::NetSlice::Arp(other) => panic!("no IP: {other:?}"),
            };
            assert_eq!(sum.expect("a sum"), tcp.checksum());
        }
    }

    #[test]
    fn pieces_cover_the_datagram() {
        let (from, to) = ends(true);
        let pieces = Packet::udp(from, to, 2000).fragments(800);
        let places: Vec<_> = pieces.iter().map(|piece| piece.piece.expect("a piece")).collect();
        assert_eq!(
            places.iter().map(|place| place.units).collect::<Vec<_>>(),
            [0, 100, 200]
        );
        assert_eq!(
            places.iter().map(|place| place.more).collect::<Vec<_>>(),
            [true, true, false]
        );
        assert_eq!(
            pieces.iter().map(|piece| piece.payload.len()).sum::<usize>(),
            2008
        );
    }
}
