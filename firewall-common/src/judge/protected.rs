//! What no policy may break: the protocols that keep a host on its network.

use crate::{
    address::Family,
    classify::HeaderView,
    counters::Hook,
    headers::{Headers, marks},
    reason::Reason,
    wire::{ethernet, icmpv6, protocol},
};

/// The verdict on a frame that is not IP.
#[inline(always)]
pub(super) fn link_protocol(ether_type: u16, image: &HeaderView<'_>) -> Reason {
    if is_link_protocol(ether_type) {
        return Reason::LinkProtocol;
    }
    for allowed in image.ether_types() {
        if allowed != 0 && allowed == ether_type {
            return Reason::LinkProtocol;
        }
    }
    Reason::EtherType
}

/// ARP, LACP and the other slow protocols, LLC (spanning tree), LLDP, EAPOL.
#[inline(always)]
const fn is_link_protocol(ether_type: u16) -> bool {
    ether_type <= ethernet::MAX_LENGTH
        || matches!(
            ether_type,
            ethernet::ARP | ethernet::SLOW | ethernet::LLDP | ethernet::EAPOL
        )
}

/// Neighbour discovery, multicast listeners and this host's DHCP; `None` where the packet is none of these.
#[inline(always)]
pub(super) fn check(headers: &Headers, family: Family, hook: Hook) -> Option<Reason> {
    match headers.protocol {
        protocol::ICMPV6 => match headers.icmp_type() {
            icmpv6::ROUTER_SOLICITATION
            | icmpv6::ROUTER_ADVERTISEMENT
            | icmpv6::NEIGHBOUR_SOLICITATION
            | icmpv6::NEIGHBOUR_ADVERTISEMENT => neighbour_discovery(headers, hook),
            icmpv6::MLD_QUERY | icmpv6::MLD_REPORT | icmpv6::MLD_DONE | icmpv6::MLD2_REPORT => {
                Some(multicast_listener(headers))
            }
            _ => None,
        },
        protocol::IGMP if headers.hop_limit == 1 && headers.destination.is_multicast(family) => {
            Some(Reason::MulticastListener)
        }
        protocol::UDP if is_dhcp(headers, family, hook) => Some(Reason::FailsafeDhcp),
        _ => None,
    }
}

/// RFC 4861: hop limit 255, code 0; RFC 6980: never in fragments. Sending router advertisements is left to the rules.
#[inline(always)]
fn neighbour_discovery(headers: &Headers, hook: Hook) -> Option<Reason> {
    if headers.hop_limit != 255
        || headers.marked(marks::FRAGMENT_HEADER)
        || headers.destination_port & 0xff != 0
    {
        return Some(Reason::NeighbourDiscoveryInvalid);
    }
    if matches!(hook, Hook::Egress) && headers.icmp_type() == icmpv6::ROUTER_ADVERTISEMENT {
        return None;
    }
    Some(Reason::NeighbourDiscovery)
}

/// RFC 3810 5 and 9: hop limit 1, a router alert option, link-local source; reports may come from the unspecified
/// address (RFC 3590), queries not.
#[inline(always)]
fn multicast_listener(headers: &Headers) -> Reason {
    let report = matches!(headers.icmp_type(), icmpv6::MLD_REPORT | icmpv6::MLD2_REPORT);
    let source_fits = headers.source.is_link_local_v6() || (headers.source.is_unspecified() && report);
    if headers.hop_limit == 1 && headers.marked(marks::HOP_BY_HOP) && source_fits {
        Reason::MulticastListener
    } else {
        Reason::MulticastListenerInvalid
    }
}

/// This host as a DHCP client (RFC 2131, RFC 8415 7.2).
#[inline(always)]
fn is_dhcp(headers: &Headers, family: Family, hook: Hook) -> bool {
    let (server, client) = match family {
        Family::V4 => (67, 68),
        Family::V6 => (547, 546),
    };
    let ports = (headers.source_port, headers.destination_port);
    match hook {
        Hook::Ingress => {
            ports == (server, client) && (matches!(family, Family::V4) || headers.source.is_link_local_v6())
        }
        Hook::Egress => ports == (client, server),
    }
}
