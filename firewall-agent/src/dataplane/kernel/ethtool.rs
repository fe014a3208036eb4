//! The driver's name and receive VLAN offload of an interface (ethtool's ioctls).

use std::{
    io, mem,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
};

use bytemuck::{Pod, Zeroable};

/// `linux/sockios.h`, `linux/ethtool.h`
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETH_FLAG_RXVLAN: u32 = 1 << 8;

/// `struct ethtool_value`
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_drvinfo`
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [[u8; 32]; 4],
    more: [u8; 12],
    counts: [u32; 5],
}

const _: () = assert!(size_of::<DriverInfo>() == 196);

/// Runs one ethtool command on an interface, in the network namespace of the calling thread.
fn command<T: Pod>(interface: &str, argument: &mut T) -> io::Result<()> {
    // Any socket will do; its namespace says which interface is meant.
    let socket = UnixDatagram::unbound()?;
    // SAFETY: the structure is plain data, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    if interface.len() > room {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(argument).cast();
    // SAFETY: the request names an interface and points to an argument of the size that its command has.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The driver's name.
pub(crate) fn driver(interface: &str) -> io::Result<String> {
    let mut info = DriverInfo {
        command: ETHTOOL_GDRVINFO,
        ..DriverInfo::zeroed()
    };
    command(interface, &mut info)?;
    let name = info.driver.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn flags(interface: &str) -> io::Result<u32> {
    let mut value = Value {
        command: ETHTOOL_GFLAGS,
        data: 0,
    };
    command(interface, &mut value)?;
    Ok(value.data)
}

/// Whether receive VLAN offload is on.
pub(crate) fn vlan_offload(interface: &str) -> io::Result<bool> {
    Ok(flags(interface)? & ETH_FLAG_RXVLAN != 0)
}

/// Switches receive VLAN offload on or off; returns whether that was a change.
pub(super) fn set_vlan_offload(interface: &str, on: bool) -> io::Result<bool> {
    let before = flags(interface)?;
    let wanted = if on {
        before | ETH_FLAG_RXVLAN
    } else {
        before & !ETH_FLAG_RXVLAN
    };
    if wanted == before {
        return Ok(false);
    }
    let mut value = Value {
        command: ETHTOOL_SFLAGS,
        data: wanted,
    };
    command(interface, &mut value)?;
    // A driver may keep a feature that it has fixed without saying so.
    if flags(interface)? & ETH_FLAG_RXVLAN == wanted & ETH_FLAG_RXVLAN {
        Ok(true)
    } else {
        Err(io::Error::other("the driver keeps it as it is"))
    }
}
