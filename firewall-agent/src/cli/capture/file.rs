//! Where captured packets go.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, BufWriter, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use jiff::Timestamp;

use crate::{
    cli::CliError,
    control::protocol::{CapturedPacket, Link},
    pcapng::{LinkType, Packet, Way, Writer},
};

/// A pcapng file, or standard output.
pub(super) struct File {
    writer: Writer<Box<dyn Write>>,
    /// Bytes that it may have.
    limit: u64,
    pub(super) packets: u64,
}

impl File {
    /// A new file, for its owner alone; `-` is standard output.
    pub(super) fn create(path: &Path, snap_bytes: u32, limit: u64) -> Result<Self, CliError> {
        let sink: Box<dyn Write> = if path == Path::new("-") {
            if io::stdout().is_terminal() {
                let message =
                    "a capture on a terminal helps nobody: pipe it into tcpdump -r -, or name a file";
                return Err(CliError::Usage(message.to_owned()));
            }
            Box::new(io::stdout().lock())
        } else {
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path);
            let failed = |error| CliError::File(format!("cannot write {}: {error}", path.display()));
            Box::new(file.map_err(failed)?)
        };
        let sink: Box<dyn Write> = Box::new(BufWriter::new(sink));
        let application = concat!("fwctl ", env!("CARGO_PKG_VERSION"));
        let mut writer = Writer::new(sink, application, snap_bytes)?;
        // Whoever reads it through a pipe wants to know what it is.
        writer.flush()?;
        Ok(Self {
            writer,
            limit,
            packets: 0,
        })
    }

    /// Writes packets, and hands them on. False where the file has become too large.
    pub(super) fn put(&mut self, packets: &[CapturedPacket]) -> Result<bool, CliError> {
        for packet in packets {
            if self.writer.written() >= self.limit {
                return Ok(false);
            }
            self.writer.packet(&Packet {
                interface: &packet.interface,
                link: match packet.link {
                    Link::Ethernet => LinkType::Ethernet,
                    Link::Ip => LinkType::Ip,
                },
                time_nanoseconds: nanoseconds(packet.at),
                way: if packet.direction == "in" {
                    Way::In
                } else {
                    Way::Out
                },
                wire_bytes: packet.length,
                bytes: &packet.bytes,
                comment: &comment(packet),
            })?;
            self.packets += 1;
        }
        self.writer.flush()?;
        Ok(self.writer.written() < self.limit)
    }

    /// Ends the file; returns its bytes.
    pub(super) fn finish(self, limited: u64, lost: u64) -> Result<u64, CliError> {
        let bytes = self.writer.written();
        let comment = format!("{limited} over the rate, {lost} lost");
        self.writer
            .finish(nanoseconds(Timestamp::now()), limited + lost, &comment)?;
        Ok(bytes)
    }
}

fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

/// `drop: reason rule, rule blocked (web.toml:9)`.
fn comment(packet: &CapturedPacket) -> String {
    let mut text = format!("{}: reason {}", packet.verdict, packet.reason);
    if let Some(rule) = &packet.rule {
        text.push_str(", rule ");
        text.push_str(rule);
    }
    if let Some(origin) = &packet.origin {
        // Writing to a string cannot fail.
        let _ = write!(text, " ({origin})");
    }
    text
}
