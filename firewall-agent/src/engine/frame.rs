//! Frames for questions: the least that opens a connection, and the answer to it.

use std::net::IpAddr;

use firewall_common::wire::{protocol, tcp};

/// Addresses of the sender and the receiver on the link; both unicast, and locally administered.
const LINK: [u8; 12] = [0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Sender.
    pub source: IpAddr,
    /// Receiver, of the same family.
    pub destination: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Source port; the identifier of an ICMP echo.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

impl Segment {
    /// The same from the other end.
    #[must_use]
    pub const fn turned(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..self
        }
    }

    /// The frame that opens a connection.
    #[must_use]
    pub fn opening(&self) -> Vec<u8> {
        self.frame(false)
    }

    /// The frame that answers it, seen from whoever sends it.
    #[must_use]
    pub fn answer(&self) -> Vec<u8> {
        self.frame(true)
    }

    /// No checksums above the network header: nothing on the path looks at them.
    fn frame(&self, answers: bool) -> Vec<u8> {
        let above = self.above(answers);
        let mut frame = LINK.to_vec();
        let bytes = u16::try_from(above.len()).unwrap_or(u16::MAX);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [high, low] = (bytes + 20).to_be_bytes();
                let mut header = [
                    0x45,
                    0,
                    high,
                    low,
                    0,
                    1,
                    0x40,
                    0,
                    64,
                    self.protocol,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                ];
                header[12..16].copy_from_slice(&source.octets());
                header[16..].copy_from_slice(&destination.octets());
                let checksum = checksum(&header).to_be_bytes();
                header[10..12].copy_from_slice(&checksum);
                frame.extend([0x08, 0x00]);
                frame.extend(header);
            }
            (source, destination) => {
                let v6 = |address: IpAddr| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped(),
                    IpAddr::V6(address) => address,
                };
                let [high, low] = bytes.to_be_bytes();
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, high, low, self.protocol, 64]);
                frame.extend(v6(source).octets());
                frame.extend(v6(destination).octets());
            }
        }
        frame.extend(above);
        frame
    }

    fn above(&self, answers: bool) -> Vec<u8> {
        let [[a, b], [c, d]] = [self.source_port, self.destination_port].map(u16::to_be_bytes);
        match self.protocol {
            protocol::TCP => {
                let flags = if answers { tcp::SYN | tcp::ACK } else { tcp::SYN };
                let acknowledged = u8::from(answers) * 2;
                vec![
                    a,
                    b,
                    c,
                    d,
                    0,
                    0,
                    0,
                    1,
                    0,
                    0,
                    0,
                    acknowledged,
                    0x50,
                    flags,
                    0xff,
                    0xff,
                    0,
                    0,
                    0,
                    0,
                ]
            }
            protocol::UDP | protocol::UDP_LITE => vec![a, b, c, d, 0, 8, 0, 0],
            protocol::SCTP => {
                // INIT, or INIT ACK with the tag of the INIT (RFC 9260 3.3.2, 3.3.3).
                let (tag, kind) = if answers { (1, 2) } else { (0, 1) };
                let mut packet = vec![a, b, c, d, 0, 0, 0, tag, 0, 0, 0, 0];
                packet.extend([kind, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
                packet
            }
            protocol::ICMP => {
                let [a, b] = self.echo_identifier(answers);
                vec![if answers { 0 } else { 8 }, 0, 0, 0, a, b, 0, 1]
            }
            protocol::ICMPV6 => {
                let [a, b] = self.echo_identifier(answers);
                vec![if answers { 129 } else { 128 }, 0, 0, 0, a, b, 0, 1]
            }
            _ => vec![0; 8],
        }
    }

    fn echo_identifier(&self, answers: bool) -> [u8; 2] {
        let identifier = if answers {
            self.destination_port
        } else {
            self.source_port
        };
        identifier.to_be_bytes()
    }
}

/// Of an IPv4 header (RFC 1071).
fn checksum(header: &[u8; 20]) -> u16 {
    let (words, _) = header.as_chunks::<2>();
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    // Ten words carry at most nine: folded twice it has sixteen bits.
    u16::try_from((folded & 0xffff) + (folded >> 16)).map_or(0, |sum| !sum)
}

#[cfg(test)]
mod tests {
    use firewall_common::{headers, interface::LinkType};

    use super::*;

    #[test]
    fn every_frame_can_be_parsed_and_says_what_was_asked_for() {
        let ends = [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")];
        for (source, destination) in ends {
            for number in [6, 17, 132, 136, 47] {
                let segment = Segment {
                    source: source.parse().expect("an address"),
                    destination: destination.parse().expect("an address"),
                    protocol: number,
                    source_port: 50000,
                    destination_port: 22,
                };
                for frame in [segment.opening(), segment.answer()] {
                    let headers = headers::parse(&frame.as_slice(), LinkType::Ethernet);
                    let headers = headers.unwrap_or_else(|reason| panic!("{segment:?}: {reason:?}"));
                    assert_eq!(headers.protocol, number);
                    if number != 47 {
                        assert_eq!((headers.source_port, headers.destination_port), (50000, 22));
                    }
                }
            }
        }
    }

    #[test]
    fn the_checksum_is_the_one_of_the_rfc() {
        // The worked example of RFC 1071's successors: a header whose checksum is b861.
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
    }
}
