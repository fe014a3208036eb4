//! Frames as they are, put on a wire by a packet socket.

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use firewall_tests::netns::NetNs;
use nix::net::if_::if_nametoindex;

/// `ETH_P_ALL`, without which nothing would be known of the frame.
const ALL: u16 = 3;

/// Sends each frame out of an interface, where programs may still drop it.
pub(crate) fn send(namespace: &NetNs, interface: &str, frames: &[Vec<u8>]) {
    namespace.run(|| {
        let index = if_nametoindex(interface).expect("an interface");
        let socket = packet_socket().expect("root may have packet sockets");
        for frame in frames {
            send_frame(&socket, index, frame).expect("the interface takes it");
        }
    });
}

fn packet_socket() -> io::Result<OwnedFd> {
    // Protocol 0: it receives nothing.
    // SAFETY: a plain system call.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

fn send_frame(socket: &OwnedFd, interface: u32, frame: &[u8]) -> io::Result<()> {
    // SAFETY: any bytes are such an address.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET.try_into().expect("a small number");
    address.sll_protocol = ALL.to_be();
    address.sll_ifindex = interface.try_into().expect("a small number");
    let length = size_of::<libc::sockaddr_ll>().try_into().expect("a small number");
    // SAFETY: both buffers live until the call returns, and have the lengths that are given.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const address).cast(),
            length,
        )
    };
    // What a program at egress drops is reported as a want of room.
    let error = io::Error::last_os_error();
    if sent < 0 && error.raw_os_error() == Some(libc::ENOBUFS) {
        return Ok(());
    }
    if usize::try_from(sent).is_ok_and(|sent| sent == frame.len()) {
        Ok(())
    } else {
        Err(error)
    }
}
