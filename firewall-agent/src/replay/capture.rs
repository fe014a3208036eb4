//! Packets out of a capture file, pcap or pcapng.

use std::io::Read;

use pcap_parser::{
    Block, PcapBlockOwned, PcapError, create_reader,
    nom::error::ErrorKind,
    pcapng::{InterfaceDescriptionBlock, OptionCode},
    traits::{PcapNGPacketBlock, PcapReaderIterator},
};

use crate::trial::Way;

/// What is read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// The option with the flags of a packet.
const EPB_FLAGS: OptionCode = OptionCode(2);

/// Largest block of a capture.
const MAX_BLOCK_BYTES: usize = 64 << 20;

/// Why a capture cannot be read on. What came before is good.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Neither format.
    #[error("this is neither a pcap nor a pcapng file")]
    NotACapture,
    /// It ends too early.
    #[error("the capture ends in the middle of a block, after packet {after}")]
    Truncated {
        /// The last whole packet.
        after: u64,
    },
    /// It cannot be parsed.
    #[error("the capture is damaged after packet {after} ({what})")]
    Damaged {
        /// The last whole packet.
        after: u64,
        /// What the parser says.
        what: String,
    },
    /// It cannot be read.
    #[error("the capture cannot be read on after packet {after}")]
    Unreadable {
        /// The last whole packet.
        after: u64,
    },
}

/// One packet of a capture.
#[derive(Debug, Clone, Copy)]
pub struct Captured<'a> {
    /// Its number, from one.
    pub number: u64,
    /// When it was captured, in nanoseconds since 1970; 0 where the capture does not say.
    pub time_nanoseconds: u64,
    /// What it starts with: a number of the registry of link types.
    pub link: i32,
    /// Bytes that it had on the wire.
    pub wire_bytes: u32,
    /// Which way it went, where the capture says so.
    pub way: Option<Way>,
    /// The bytes that were captured.
    pub bytes: &'a [u8],
}

/// How times are written for an interface of a pcapng section.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link: i32,
    snap_bytes: u32,
    per_second: u64,
    offset_seconds: i64,
}

impl Interface {
    fn of(block: &InterfaceDescriptionBlock<'_>) -> Self {
        Self {
            link: block.linktype.0,
            snap_bytes: block.snaplen,
            // The default of the format: microseconds.
            per_second: block.ts_resolution().unwrap_or(1_000_000).max(1),
            offset_seconds: block.ts_offset(),
        }
    }

    fn nanoseconds(&self, high: u32, low: u32) -> u64 {
        let units = u128::from(u64::from(high) << 32 | u64::from(low));
        let nanoseconds = units * 1_000_000_000 / u128::from(self.per_second);
        let offset = i128::from(self.offset_seconds) * 1_000_000_000;
        let time = i128::try_from(nanoseconds)
            .unwrap_or(i128::MAX)
            .saturating_add(offset);
        u64::try_from(time.max(0)).unwrap_or(u64::MAX)
    }
}

/// What is known of the blocks that come.
#[derive(Debug, Default)]
struct Context {
    packets: u64,
    link: i32,
    has_nanoseconds: bool,
    interfaces: Vec<Interface>,
}

/// Shows each packet of a capture to `visit`, until that says false.
pub fn read<R: Read + Send>(
    source: R,
    visit: &mut dyn FnMut(&Captured<'_>) -> bool,
) -> Result<(), CaptureError> {
    let mut reader = create_reader(BUFFER_BYTES, source).map_err(|error| match error {
        PcapError::ReadError => CaptureError::Unreadable { after: 0 },
        _ => CaptureError::NotACapture,
    })?;
    let mut context = Context::default();
    let mut buffer_bytes = BUFFER_BYTES;
    loop {
        let after = context.packets;
        let step = match reader.next() {
            Ok((bytes, block)) => {
                let goes_on = context.block(&block, visit);
                Step::Consume(bytes, goes_on)
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => Step::Refill,
            Err(PcapError::BufferTooSmall) => Step::Grow,
            Err(error) => return Err(failure(&error, after)),
        };
        match step {
            Step::Consume(bytes, true) => reader.consume(bytes),
            Step::Consume(_, false) => return Ok(()),
            Step::Refill => {
                if reader.reader_exhausted() {
                    return Err(CaptureError::Truncated { after });
                }
                let refilled = match reader.refill() {
                    Ok(()) => Ok(true),
                    Err(PcapError::BufferTooSmall) => Ok(false),
                    Err(error) => Err(failure(&error, after)),
                };
                if !refilled? {
                    buffer_bytes = grown(&mut *reader, buffer_bytes, after)?;
                }
            }
            Step::Grow => buffer_bytes = grown(&mut *reader, buffer_bytes, after)?,
        }
    }
}

enum Step {
    Consume(usize, bool),
    Refill,
    Grow,
}

fn grown(reader: &mut dyn PcapReaderIterator, bytes: usize, after: u64) -> Result<usize, CaptureError> {
    let larger = bytes * 2;
    if larger > MAX_BLOCK_BYTES || !reader.grow(larger) {
        return Err(CaptureError::Damaged {
            after,
            what: format!("a block of more than {bytes} bytes"),
        });
    }
    Ok(larger)
}

fn failure<I>(error: &PcapError<I>, after: u64) -> CaptureError {
    let kind = |kind: &ErrorKind| CaptureError::Damaged {
        after,
        what: format!("{kind:?}"),
    };
    match error {
        PcapError::UnexpectedEof | PcapError::Incomplete(_) | PcapError::Eof => {
            CaptureError::Truncated { after }
        }
        PcapError::ReadError => CaptureError::Unreadable { after },
        PcapError::HeaderNotRecognized => CaptureError::NotACapture,
        PcapError::NomError(_, what) | PcapError::OwnedNomError(_, what) => kind(what),
        PcapError::BufferTooSmall => kind(&ErrorKind::TooLarge),
    }
}

impl Context {
    fn block(&mut self, block: &PcapBlockOwned<'_>, visit: &mut dyn FnMut(&Captured<'_>) -> bool) -> bool {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.link = header.network.0;
                self.has_nanoseconds = header.is_nanosecond_precision();
                true
            }
            PcapBlockOwned::Legacy(packet) => {
                self.packets += 1;
                let fraction = if self.has_nanoseconds {
                    u64::from(packet.ts_usec)
                } else {
                    u64::from(packet.ts_usec) * 1000
                };
                visit(&Captured {
                    number: self.packets,
                    time_nanoseconds: u64::from(packet.ts_sec) * 1_000_000_000 + fraction,
                    link: self.link,
                    wire_bytes: packet.origlen,
                    way: None,
                    bytes: packet.data,
                })
            }
            PcapBlockOwned::NG(block) => self.section_block(block, visit),
        }
    }

    fn section_block(&mut self, block: &Block<'_>, visit: &mut dyn FnMut(&Captured<'_>) -> bool) -> bool {
        match block {
            Block::SectionHeader(_) => self.interfaces.clear(),
            Block::InterfaceDescription(block) => self.interfaces.push(Interface::of(block)),
            Block::EnhancedPacket(packet) => {
                self.packets += 1;
                let interface = usize::try_from(packet.if_id).ok();
                let Some(interface) = interface.and_then(|id| self.interfaces.get(id)) else {
                    return true;
                };
                let flags = packet.options.iter().find(|option| option.code == EPB_FLAGS);
                let flags = flags.and_then(|option| option.value.get(..4)?.try_into().ok());
                return visit(&Captured {
                    number: self.packets,
                    time_nanoseconds: interface.nanoseconds(packet.ts_high, packet.ts_low),
                    link: interface.link,
                    wire_bytes: packet.origlen,
                    way: flags.and_then(|flags| way(flags, packet.big_endian())),
                    bytes: packet.packet_data(),
                });
            }
            Block::SimplePacket(packet) => {
                self.packets += 1;
                let Some(interface) = self.interfaces.first() else {
                    return true;
                };
                let snap = match interface.snap_bytes {
                    0 => usize::MAX,
                    snap => usize::try_from(snap).unwrap_or(usize::MAX),
                };
                let bytes = packet.packet_data();
                let whole = usize::try_from(packet.origlen).unwrap_or(usize::MAX);
                return visit(&Captured {
                    number: self.packets,
                    time_nanoseconds: 0,
                    link: interface.link,
                    wire_bytes: packet.origlen,
                    way: None,
                    bytes: &bytes[..bytes.len().min(snap).min(whole)],
                });
            }
            _ => {}
        }
        true
    }
}

/// The direction in the flags of a packet: bits 0 and 1.
const fn way(flags: [u8; 4], is_big_endian: bool) -> Option<Way> {
    let flags = if is_big_endian {
        u32::from_be_bytes(flags)
    } else {
        u32::from_le_bytes(flags)
    };
    match flags & 3 {
        1 => Some(Way::In),
        2 => Some(Way::Out),
        _ => None,
    }
}
