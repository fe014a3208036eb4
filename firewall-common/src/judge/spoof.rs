//! Addresses that cannot come in from the wire.

use crate::{
    address::Family,
    headers::Headers,
    reason::Reason,
    wire::{icmpv6, protocol},
};

/// Checks what needs no table; the host's own addresses are looked at only where a packet would be let in.
#[inline(always)]
pub(super) fn check(headers: &Headers, family: Family) -> Result<(), Reason> {
    let (source, destination) = (headers.source, headers.destination);
    if source.is_multicast(family) || source.is_loopback(family) || source.is_limited_broadcast(family) {
        return Err(Reason::SpoofedSource);
    }
    if source.is_unspecified() && !may_be_unspecified(headers, family) {
        return Err(Reason::SpoofedSource);
    }
    if destination.is_loopback(family) || destination.is_unspecified() {
        return Err(Reason::MartianDestination);
    }
    Ok(())
}

/// A host without an address yet: DHCP (RFC 2131 4.1), IGMP (RFC 3376 4.2.13), duplicate address detection
/// (RFC 4862 5.4.2), MLD (RFC 3590).
#[inline(always)]
fn may_be_unspecified(headers: &Headers, family: Family) -> bool {
    match family {
        Family::V4 => {
            headers.protocol == protocol::IGMP
                || (headers.protocol == protocol::UDP && headers.destination_port == 67)
        }
        Family::V6 => {
            headers.protocol == protocol::ICMPV6
                && matches!(
                    headers.icmp_type(),
                    icmpv6::ROUTER_SOLICITATION
                        | icmpv6::NEIGHBOUR_SOLICITATION
                        | icmpv6::MLD_QUERY
                        | icmpv6::MLD_REPORT
                        | icmpv6::MLD2_REPORT
                )
        }
    }
}
