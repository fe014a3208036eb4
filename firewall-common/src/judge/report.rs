//! Log events.

use crate::{
    address::{Address, Family},
    counters::Hook,
    event::Event,
    headers::Headers,
    verdict::Decision,
};

/// The event for a packet and its verdict.
#[inline(always)]
#[must_use]
pub fn event(
    headers: &Headers,
    decision: &Decision,
    hook: Hook,
    interface: u32,
    time_nanoseconds: u64,
) -> Event {
    Event {
        time_nanoseconds,
        source: octets(headers.source, headers.family),
        destination: octets(headers.destination, headers.family),
        interface,
        length: headers.frame_bytes,
        rule: decision.rule,
        source_port: headers.source_port,
        destination_port: headers.destination_port,
        ether_type: headers.ether_type,
        reason: decision.reason as u8,
        verdict: decision.verdict as u8,
        hook: hook as u8,
        protocol: headers.protocol,
        family: headers.family,
        tcp_flags: headers.tcp_flags,
        reserved: 0,
    }
}

#[inline(always)]
fn octets(address: Address, family: u8) -> [u8; 16] {
    let (high, low) = if family == Family::V4 as u8 {
        (address.low << 32, 0)
    } else {
        (address.high, address.low)
    };
    let [a, b, c, d, e, f, g, h] = high.to_be_bytes();
    let [i, j, k, l, m, n, o, p] = low.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}
