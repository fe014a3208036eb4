//! Sockets by `SOCK_DIAG_BY_FAMILY` (`linux/inet_diag.h`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use bytemuck::{Pod, Zeroable, bytes_of, cast};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::Socket;
use crate::dataplane::kernel::netlink::{Message, Netlink};

const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// `struct inet_diag_sockid`; ports and addresses in network order.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SocketId {
    source_port: [u8; 2],
    destination_port: [u8; 2],
    source: [u8; 16],
    destination: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Request {
    family: u8,
    protocol: u8,
    extensions: u8,
    padding: u8,
    states: u32,
    id: SocketId,
}

/// `struct inet_diag_msg`
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Response {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: SocketId,
    expires: u32,
    receive_queue: u32,
    write_queue: u32,
    uid: u32,
    inode: u32,
}

const _: () = assert!(size_of::<Request>() == 56 && size_of::<Response>() == 72);

/// All sockets of a protocol, in both families.
pub(super) fn sockets(protocol: u8) -> io::Result<Vec<Socket>> {
    let mut netlink = Netlink::open(NETLINK_SOCK_DIAG)?;
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let request = Request {
            family: family.try_into().map_err(io::Error::other)?,
            protocol,
            states: u32::MAX,
            ..Request::zeroed()
        };
        let messages = netlink.dump(SOCK_DIAG_BY_FAMILY, bytes_of(&request))?;
        sockets.extend(messages.iter().filter_map(|message| socket(message, protocol)));
    }
    Ok(sockets)
}

fn socket(message: &Message, protocol: u8) -> Option<Socket> {
    let (response, _) = message.split::<Response>()?;
    let id = response.id;
    let ip = |bytes: [u8; 16]| -> IpAddr {
        if i32::from(response.family) == libc::AF_INET {
            let [first, ..]: [[u8; 4]; 4] = cast(bytes);
            Ipv4Addr::from(first).into()
        } else {
            Ipv6Addr::from(bytes).into()
        }
    };
    Some(Socket {
        protocol,
        state: response.state,
        local: SocketAddr::new(ip(id.source), u16::from_be_bytes(id.source_port)),
        remote: SocketAddr::new(ip(id.destination), u16::from_be_bytes(id.destination_port)),
    })
}
