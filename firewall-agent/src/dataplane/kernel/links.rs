//! The interfaces of this host (`RTM_GETLINK`).

use std::io;

use bytemuck::{Pod, Zeroable, bytes_of};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::{Attributes, Message, Netlink, push_attribute, text_of, u32_of};
use crate::dataplane::{Link, XdpMode};

/// `linux/rtnetlink.h`, `linux/if_link.h`
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const XDP_ATTACHED_DRV: u8 = 1;
const XDP_ATTACHED_SKB: u8 = 2;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

/// Kinds whose packets are those of the interface under them. A tunnel's are not, nor are those of a veth's peer.
const SAME_PACKETS: [&str; 5] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"];

/// `struct ifinfomsg`
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct InterfaceInfo {
    family: u8,
    padding: u8,
    arphrd: u16,
    index: i32,
    flags: u32,
    change: u32,
}

/// All interfaces in the network namespace of the calling thread.
pub(super) fn links() -> io::Result<Vec<Link>> {
    let mut request = bytes_of(&InterfaceInfo::zeroed()).to_vec();
    push_attribute(
        &mut request,
        IFLA_EXT_MASK,
        &RTEXT_FILTER_SKIP_STATS.to_ne_bytes(),
    );
    let messages = Netlink::open(NETLINK_ROUTE)?.dump(RTM_GETLINK, &request)?;
    Ok(messages.iter().filter_map(link).collect())
}

fn link(message: &Message) -> Option<Link> {
    let (info, attributes) = message.split::<InterfaceInfo>()?;
    let kind = nested(&attributes, IFLA_LINKINFO)
        .get(IFLA_INFO_KIND)
        .and_then(text_of);
    let xdp = nested(&attributes, IFLA_XDP);
    let lower = attributes
        .get(IFLA_LINK)
        .and_then(u32_of)
        .filter(|_| attributes.get(IFLA_LINK_NETNSID).is_none())
        .filter(|_| kind.as_deref().is_some_and(|kind| SAME_PACKETS.contains(&kind)));
    Some(Link {
        index: info.index.try_into().ok()?,
        name: attributes.get(IFLA_IFNAME).and_then(text_of)?,
        arphrd: info.arphrd,
        loopback: info.flags & libc::IFF_LOOPBACK.cast_unsigned() != 0,
        master: attributes.get(IFLA_MASTER).and_then(u32_of),
        lower,
        kind,
        mtu: attributes.get(IFLA_MTU).and_then(u32_of),
        xdp_program: xdp.get(IFLA_XDP_PROG_ID).and_then(u32_of),
        xdp_mode: match xdp.get(IFLA_XDP_ATTACHED) {
            Some([XDP_ATTACHED_DRV]) => Some(XdpMode::Native),
            Some([XDP_ATTACHED_SKB]) => Some(XdpMode::Generic),
            _ => None,
        },
    })
}

fn nested<'a>(attributes: &Attributes<'a>, kind: u16) -> Attributes<'a> {
    Attributes(attributes.get(kind).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there_and_known_as_such() {
        let links = links().unwrap();
        let loopback = links.iter().find(|link| link.loopback).unwrap();
        assert_eq!((loopback.name.as_str(), loopback.index), ("lo", 1));
        assert_eq!(loopback.link_type(), None);
        assert!(loopback.mtu.is_some_and(|mtu| mtu >= 1280), "{loopback:?}");
    }
}
