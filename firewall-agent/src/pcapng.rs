//! Writing packets as pcapng (draft-ietf-opsawg-pcapng), in the byte order of x86.

use std::io::{self, Write};

/// Block types.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// Tells the byte order.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Options of every block.
const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
/// Options of single blocks.
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const STATISTICS_DROPPED: u16 = 5;

/// Times are nanoseconds: ten to the power of minus nine.
const NANOSECONDS: u8 = 9;

/// What packets start with: a number of the registry of link types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet = 1,
    /// An IPv4 or IPv6 header.
    Ip = 101,
}

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It came in.
    In = 1,
    /// It went out.
    Out = 2,
}

/// A packet to write.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// The interface's name.
    pub interface: &'a str,
    /// What it starts with.
    pub link: LinkType,
    /// When, in nanoseconds since 1970.
    pub time_nanoseconds: u64,
    /// Which way it went.
    pub way: Way,
    /// Bytes that it had on the wire.
    pub wire_bytes: u32,
    /// The first of them.
    pub bytes: &'a [u8],
    /// What there is to say of it.
    pub comment: &'a str,
}

/// Writes one section. What is flushed is a whole file at any time.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    snap_bytes: u32,
    /// In the order of their numbers.
    interfaces: Vec<(String, LinkType)>,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a section. `application` says who writes it; no packet has more than `snap_bytes`.
    pub fn new(sink: W, application: &str, snap_bytes: u32) -> io::Result<Self> {
        let mut writer = Self {
            sink,
            snap_bytes,
            interfaces: Vec::new(),
            written: 0,
        };
        let mut body = BYTE_ORDER.to_le_bytes().to_vec();
        // Version 1.0, of unknown length.
        body.extend([1, 0, 0, 0]);
        body.extend([0xff; 8]);
        option(&mut body, SECTION_APPLICATION, application.as_bytes());
        end_options(&mut body);
        writer.block(SECTION, &body)?;
        Ok(writer)
    }

    /// Bytes written so far.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Writes a packet, after its interface where that is new.
    pub fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let interface = self.interface(packet)?;
        let mut body = interface.to_le_bytes().to_vec();
        body.extend(halves(packet.time_nanoseconds));
        body.extend(length(packet.bytes)?.to_le_bytes());
        body.extend(packet.wire_bytes.to_le_bytes());
        body.extend(packet.bytes);
        pad(&mut body);
        option(&mut body, COMMENT, packet.comment.as_bytes());
        option(&mut body, PACKET_FLAGS, &(packet.way as u32).to_le_bytes());
        end_options(&mut body);
        self.block(PACKET, &body)
    }

    /// Ends the section: says at `time_nanoseconds` how many packets are missing from it, and why.
    pub fn finish(mut self, time_nanoseconds: u64, missing: u64, comment: &str) -> io::Result<W> {
        for interface in 0..self.interfaces.len() {
            let mut body = u32::try_from(interface)
                .map_err(io::Error::other)?
                .to_le_bytes()
                .to_vec();
            body.extend(halves(time_nanoseconds));
            option(&mut body, COMMENT, comment.as_bytes());
            option(&mut body, STATISTICS_DROPPED, &missing.to_le_bytes());
            end_options(&mut body);
            self.block(INTERFACE_STATISTICS, &body)?;
        }
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// Hands on what is written so far.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }

    fn interface(&mut self, packet: &Packet<'_>) -> io::Result<u32> {
        let is_it = |(name, link): &(String, LinkType)| name == packet.interface && *link == packet.link;
        if let Some(number) = self.interfaces.iter().position(is_it) {
            return u32::try_from(number).map_err(io::Error::other);
        }
        let mut body = (packet.link as u16).to_le_bytes().to_vec();
        body.extend([0, 0]);
        body.extend(self.snap_bytes.to_le_bytes());
        option(&mut body, INTERFACE_NAME, packet.interface.as_bytes());
        option(&mut body, INTERFACE_RESOLUTION, &[NANOSECONDS]);
        end_options(&mut body);
        self.block(INTERFACE, &body)?;
        self.interfaces.push((packet.interface.to_owned(), packet.link));
        u32::try_from(self.interfaces.len() - 1).map_err(io::Error::other)
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        // Type and length in front, the length again behind.
        let bytes = length(body)? + 12;
        let mut block = kind.to_le_bytes().to_vec();
        block.extend(bytes.to_le_bytes());
        block.extend(body);
        block.extend(bytes.to_le_bytes());
        self.sink.write_all(&block)?;
        self.written += u64::from(bytes);
        Ok(())
    }
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(io::Error::other)
}

/// A time, the upper half first.
fn halves(time: u64) -> [u8; 8] {
    let swapped = time.rotate_left(32);
    swapped.to_le_bytes()
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    // A comment that is too long for the format is cut, between two characters or not.
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    let bytes = u16::try_from(value.len()).unwrap_or(u16::MAX);
    body.extend(code.to_le_bytes());
    body.extend(bytes.to_le_bytes());
    body.extend(value);
    pad(body);
}

fn end_options(body: &mut Vec<u8>) {
    body.extend(END_OF_OPTIONS.to_le_bytes());
    body.extend([0, 0]);
}

/// Fills up to four bytes.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use pcap_parser::{
        Block, PcapBlockOwned, PcapNGReader,
        pcapng::OptionCode,
        traits::{PcapNGPacketBlock, PcapReaderIterator},
    };

    use super::*;

    fn file() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), "test", 96).expect("memory");
        let packet = Packet {
            interface: "eth0",
            link: LinkType::Ethernet,
            time_nanoseconds: 0x0011_2233_4455_6677,
            way: Way::Out,
            wire_bytes: 1500,
            bytes: b"12345",
            comment: "drop: rule ssh (base.toml:3)",
        };
        writer.packet(&packet).expect("memory");
        let other = Packet {
            interface: "tun0",
            link: LinkType::Ip,
            way: Way::In,
            bytes: b"",
            ..packet
        };
        writer.packet(&other).expect("memory");
        writer.packet(&packet).expect("memory");
        let written = writer.written();
        let file = writer.finish(7, 3, "three too many").expect("memory");
        assert!(written < file.len() as u64);
        file
    }

    #[test]
    fn what_is_written_reads_back() {
        let file = file();
        let mut reader = PcapNGReader::new(1 << 16, &*file).expect("a section");
        let mut blocks = Vec::new();
        while let Ok((bytes, block)) = reader.next() {
            let PcapBlockOwned::NG(block) = block else {
                panic!("another format")
            };
            blocks.push(match block {
                Block::SectionHeader(_) => "section".to_owned(),
                Block::InterfaceDescription(block) => {
                    assert_eq!((block.snaplen, block.ts_resolution()), (96, Some(1_000_000_000)));
                    let name = block
                        .options
                        .iter()
                        .find(|option| option.code == OptionCode::IfName);
                    let name = name.and_then(|name| name.as_str().ok()).expect("a name");
                    format!("{name} {}", block.linktype.0)
                }
                Block::EnhancedPacket(block) => {
                    assert_eq!((block.ts_high, block.ts_low), (0x0011_2233, 0x4455_6677));
                    assert_eq!(block.origlen, 1500);
                    let comment = block
                        .options
                        .iter()
                        .find(|option| option.code == OptionCode::Comment);
                    let comment = comment.and_then(|text| text.as_str().ok());
                    assert_eq!(comment, Some("drop: rule ssh (base.toml:3)"));
                    let flags = block.options.iter().find(|option| option.code.0 == PACKET_FLAGS);
                    let flags = flags.and_then(|flags| flags.value.first().copied());
                    let text = String::from_utf8_lossy(block.packet_data()).into_owned();
                    format!("{} {text} {}", block.if_id, flags.expect("flags"))
                }
                Block::InterfaceStatistics(block) => {
                    format!("{} missing {:?}", block.if_id, block.isb_ifdrop())
                }
                _ => panic!("no such block was written"),
            });
            reader.consume(bytes);
        }
        assert_eq!(
            blocks,
            [
                "section",
                "eth0 1",
                "0 12345 2",
                "tun0 101",
                "1  1",
                "0 12345 2",
                "0 missing Some(Ok(3))",
                "1 missing Some(Ok(3))",
            ]
        );
    }
}
