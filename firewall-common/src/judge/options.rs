//! IPv4 options: source routing is found at any place among them.

use crate::{bytes::PacketBytes, headers::Headers, opaque::masked, reason::Reason};

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// Most option bytes of an IPv4 header: 15 words less the fixed five.
const MAX_OPTION_BYTES: usize = 40;

/// Drops options that cannot be parsed and, unless allowed, source routing (RFC 7126 4.3.5).
#[inline(always)]
pub(super) fn check<P: PacketBytes>(
    packet: &P,
    headers: &Headers,
    allow_routing: bool,
) -> Result<(), Reason> {
    let end = usize::from(headers.l4_offset);
    // From the packet's start, not from the first option: an offset that the verifier knows nothing of but its bound
    // looks the same to it after each option, whatever the way there.
    let mut offset = bounded(usize::from(headers.l3_offset) + 20);
    for _ in 0..MAX_OPTION_BYTES {
        if offset >= end {
            return Ok(());
        }
        let [kind] = packet.load::<1>(offset).ok_or(Reason::TruncatedIp)?;
        if kind == END {
            return Ok(());
        }
        if (kind == LOOSE_SOURCE_ROUTE || kind == STRICT_SOURCE_ROUTE) && !allow_routing {
            return Err(Reason::SourceRouting);
        }
        let option_bytes = if kind == NO_OPERATION {
            1
        } else {
            length(packet, offset, end)?
        };
        offset = bounded(offset + option_bytes);
    }
    Ok(())
}

/// The length of an option that has one.
#[inline(always)]
fn length<P: PacketBytes>(packet: &P, offset: usize, end: usize) -> Result<usize, Reason> {
    let [_, bytes] = packet.load::<2>(offset).ok_or(Reason::TruncatedIp)?;
    let bytes = usize::from(bytes);
    if bytes < 2 || offset + bytes > end {
        Err(Reason::MalformedOption)
    } else {
        Ok(bytes)
    }
}

/// Bounds an offset for the verifier; IPv4 headers end far before.
#[inline(always)]
fn bounded(offset: usize) -> usize {
    masked::<0x3fff>(offset)
}
