//! The frame of a packet that is asked about.

use std::net::IpAddr;

use firewall_common::wire::{ethernet, icmpv6, protocol, tcp};

use super::Question;

/// Data of packets without a transport header of their own.
const DATA_BYTES: usize = 20;

/// A router alert (RFC 2711) and padding: what multicast listener messages carry (RFC 3810 5).
const ROUTER_ALERT: [u8; 6] = [5, 2, 0, 0, 1, 0];

/// The packet as an Ethernet frame: one that opens a connection, or the next one of a live connection. Checksums are
/// zero, as the verdict path does not look at them.
#[must_use]
pub fn frame(question: &Question, opens: bool) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    if let Some(vlan) = question.vlan {
        bytes.extend(ethernet::VLAN.to_be_bytes());
        bytes.extend(vlan.to_be_bytes());
    }
    let payload = payload(question, opens);
    match (question.source, question.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes.extend(ethernet::IPV4.to_be_bytes());
            bytes.extend([4 << 4 | 5, 0]);
            bytes.extend(length(20 + payload.len()));
            bytes.extend([0, 1, 0x40, 0, hop_limit(question), question.protocol, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
        }
        (source, destination) => {
            let has_alert = is_multicast_listener(question);
            let alert = if has_alert { 2 + ROUTER_ALERT.len() } else { 0 };
            bytes.extend(ethernet::IPV6.to_be_bytes());
            bytes.extend([6 << 4, 0, 0, 0]);
            bytes.extend(length(alert + payload.len()));
            let next = if has_alert {
                protocol::HOP_BY_HOP
            } else {
                question.protocol
            };
            bytes.extend([next, hop_limit(question)]);
            bytes.extend(octets(source));
            bytes.extend(octets(destination));
            if has_alert {
                bytes.extend([question.protocol, 0]);
                bytes.extend(ROUTER_ALERT);
            }
        }
    }
    bytes.extend(payload);
    bytes
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The packets made here are short.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

fn payload(question: &Question, opens: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if question.has_ports() {
        bytes.extend(question.source_port.to_be_bytes());
        bytes.extend(question.destination_port.to_be_bytes());
    }
    match (question.protocol, question.icmp) {
        (protocol::TCP, _) => {
            let flags = if opens { tcp::SYN } else { tcp::ACK };
            bytes.extend([0, 0, 0, 1, 0, 0, 0, u8::from(!opens), 5 << 4, flags, 0xff, 0xff]);
            bytes.extend([0; 4]);
        }
        (protocol::UDP, _) => bytes.extend([0, 8, 0, 0]),
        (protocol::UDP_LITE, _) => bytes.extend([0; 4]),
        (_, Some((kind, code))) => {
            bytes.extend([kind, code]);
            bytes.resize(2 + DATA_BYTES * 2, 0);
        }
        _ => bytes.resize(bytes.len() + DATA_BYTES, 0),
    }
    bytes
}

fn is_icmpv6(question: &Question, is_kind: impl FnOnce(u8) -> bool) -> bool {
    question.protocol == protocol::ICMPV6 && question.icmp.is_some_and(|(kind, _)| is_kind(kind))
}

/// MLD and its second version.
pub(super) fn is_multicast_listener(question: &Question) -> bool {
    is_icmpv6(question, |kind| {
        matches!(
            kind,
            icmpv6::MLD_QUERY | icmpv6::MLD_REPORT | icmpv6::MLD_DONE | icmpv6::MLD2_REPORT
        )
    })
}

/// Neighbour discovery, redirects apart.
pub(super) fn is_neighbour_discovery(question: &Question) -> bool {
    is_icmpv6(question, |kind| {
        matches!(
            kind,
            icmpv6::ROUTER_SOLICITATION
                | icmpv6::ROUTER_ADVERTISEMENT
                | icmpv6::NEIGHBOUR_SOLICITATION
                | icmpv6::NEIGHBOUR_ADVERTISEMENT
        )
    })
}

/// What the protocols ask for: RFC 4861, RFC 3810, RFC 3376.
fn hop_limit(question: &Question) -> u8 {
    if is_icmpv6(question, |kind| kind == icmpv6::REDIRECT) || is_neighbour_discovery(question) {
        255
    } else if is_multicast_listener(question) || question.protocol == protocol::IGMP {
        1
    } else {
        64
    }
}
