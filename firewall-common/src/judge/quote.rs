//! ICMP errors and the packet that they quote.

use super::Work;
use crate::{
    bytes::PacketBytes,
    counters::Hook,
    flow::FlowKey,
    headers::{self, Headers},
    reason::Reason,
    wire::{icmp, icmpv6, protocol},
};

/// Whether a packet is an ICMP error, which quotes another (RFC 792, RFC 4443 2.1).
#[inline(always)]
pub(super) fn is_error(headers: &Headers) -> bool {
    match headers.protocol {
        protocol::ICMP => matches!(
            headers.icmp_type(),
            icmp::UNREACHABLE | icmp::SOURCE_QUENCH | icmp::TIME_EXCEEDED | icmp::PARAMETER_PROBLEM
        ),
        protocol::ICMPV6 => headers.icmp_type() < icmpv6::FIRST_INFORMATION,
        _ => false,
    }
}

/// The flow of the quoted packet, which went the other way. The error must be addressed to whoever sent that packet.
///
/// A function of its own on BPF, for its share of the 512 bytes of stack.
#[cfg_attr(target_arch = "bpf", inline(never))]
pub(super) fn quoted_flow<P: PacketBytes>(
    packet: &P,
    outer: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Result<(), Reason> {
    let quoted = &mut work.quoted;
    headers::parse_quoted(packet, outer, quoted)?;
    if quoted.source != outer.destination || !has_key(quoted) {
        return Err(Reason::IcmpUnrelated);
    }
    let quoted_hook = match hook {
        Hook::Ingress => Hook::Egress,
        Hook::Egress => Hook::Ingress,
    };
    work.subject = FlowKey::of(quoted, quoted_hook);
    Ok(())
}

/// No error answers an ICMP message other than echo (RFC 1122 3.2.2).
#[inline(always)]
fn has_key(quoted: &Headers) -> bool {
    match quoted.protocol {
        protocol::ICMP => matches!(quoted.icmp_type(), icmp::ECHO_REQUEST | icmp::ECHO_REPLY),
        protocol::ICMPV6 => matches!(quoted.icmp_type(), icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY),
        _ => true,
    }
}
