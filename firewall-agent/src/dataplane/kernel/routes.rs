//! By which interface packets leave (`RTM_GETROUTE`).

use std::{io, net::IpAddr};

use bytemuck::{Pod, Zeroable, bytes_of};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::{Netlink, push_attribute, u32_of};

/// `linux/rtnetlink.h`
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;

/// `struct rtmsg`
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct RouteInfo {
    family: u8,
    destination_bits: u8,
    source_bits: u8,
    tos: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    kind: u8,
    flags: u32,
}

/// Asks the routing tables.
pub(super) struct Routes(Netlink);

impl Routes {
    pub(super) fn open() -> io::Result<Self> {
        Netlink::open(NETLINK_ROUTE).map(Self)
    }

    /// Index of the interface by which packets from `source` to `destination` leave; `None` where there is no route.
    pub(super) fn interface(&mut self, source: IpAddr, destination: IpAddr) -> Option<u32> {
        let (family, bits) = match destination {
            IpAddr::V4(_) => (libc::AF_INET, 32),
            IpAddr::V6(_) => (libc::AF_INET6, 128),
        };
        let info = RouteInfo {
            family: family.try_into().ok()?,
            destination_bits: bits,
            source_bits: bits,
            ..RouteInfo::zeroed()
        };
        let mut request = bytes_of(&info).to_vec();
        push_attribute(&mut request, RTA_DST, &octets(destination));
        push_attribute(&mut request, RTA_SRC, &octets(source));
        let answer = self.0.request(RTM_GETROUTE, &request).ok()?;
        let (_, attributes) = answer.split::<RouteInfo>()?;
        attributes.get(RTA_OIF).and_then(u32_of)
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_routed_over_loopback() {
        let local = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(Routes::open().unwrap().interface(local, local), Some(1));
    }
}
