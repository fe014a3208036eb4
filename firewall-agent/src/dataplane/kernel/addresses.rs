//! The addresses of this host (`RTM_GETADDR`).

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bytemuck::{Pod, Zeroable, bytes_of};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::{Message, Netlink};

/// `linux/rtnetlink.h`, `linux/if_addr.h`
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// With a longer prefix there is no broadcast address (RFC 3021).
const LONGEST_WITH_BROADCAST: u8 = 30;

/// `struct ifaddrmsg`
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct AddressInfo {
    family: u8,
    prefix: u8,
    flags: u8,
    scope: u8,
    index: u32,
}

/// All addresses in the network namespace of the calling thread, the broadcast addresses of IPv4 among them.
pub(super) fn local_addresses() -> io::Result<BTreeSet<IpAddr>> {
    let messages = Netlink::open(NETLINK_ROUTE)?.dump(RTM_GETADDR, bytes_of(&AddressInfo::zeroed()))?;
    Ok(messages.iter().flat_map(of_message).collect())
}

fn of_message(message: &Message) -> Vec<IpAddr> {
    let Some((info, attributes)) = message.split::<AddressInfo>() else {
        return Vec::new();
    };
    // On a point-to-point interface IFA_ADDRESS is the other end's.
    let own = attributes
        .get(IFA_LOCAL)
        .or_else(|| attributes.get(IFA_ADDRESS))
        .and_then(ip);
    let broadcast = attributes.get(IFA_BROADCAST).and_then(ip);
    let directed = match own {
        Some(IpAddr::V4(own)) => directed_broadcast(own, info.prefix).map(IpAddr::V4),
        _ => None,
    };
    [own, broadcast, directed].into_iter().flatten().collect()
}

/// The kernel accepts it also where the address was set without a broadcast address (`net/ipv4/fib_frontend.c`,
/// `fib_add_ifaddr`).
fn directed_broadcast(address: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    (prefix <= LONGEST_WITH_BROADCAST).then(|| {
        let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        Ipv4Addr::from_bits(address.to_bits() | hosts)
    })
}

/// An address attribute's value.
pub(super) fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(value)
        .ok()
        .map(|octets| Ipv6Addr::from(octets).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_follows_the_prefix() {
        let of = |prefix| directed_broadcast(Ipv4Addr::new(192, 0, 2, 5), prefix).map(|it| it.to_string());
        assert_eq!(of(24).as_deref(), Some("192.0.2.255"));
        assert_eq!(of(30).as_deref(), Some("192.0.2.7"));
        assert_eq!(of(31), None);
        assert_eq!(of(32), None);
        assert_eq!(of(0).as_deref(), Some("255.255.255.255"));
    }

    #[test]
    fn loopback_has_its_address() {
        let addresses = local_addresses().unwrap();
        assert!(
            addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)),
            "{addresses:?}"
        );
    }
}
