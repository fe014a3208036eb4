//! A named counter of nftables, asked from the kernel: the tool reads all elements of all sets before it shows one.

use std::{io, os::fd::AsRawFd};

use anyhow::{Context, Result, ensure};
use firewall_tests::netns::NetNs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETOBJ` (`linux/netfilter/nf_tables.h`).
const GET_OBJECT: u16 = 0x0a13;
const NEW_OBJECT: u16 = 0x0a12;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NFPROTO_INET`.
pub(super) const INET: u8 = 1;
/// `NFPROTO_NETDEV`.
pub(super) const NETDEV: u8 = 5;
/// `NFTA_OBJ_…`.
const TABLE: u16 = 1;
const NAME: u16 = 2;
const TYPE: u16 = 3;
const DATA: u16 = 4;
/// `NFT_OBJECT_COUNTER`.
const COUNTER: u32 = 1;
/// `NFTA_COUNTER_PACKETS`.
const PACKETS: u16 = 2;
/// Bits of an attribute's type that are flags.
const TYPE_MASK: u16 = 0x3fff;
/// Bytes of `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;

/// Packets of a counter of a table.
pub(super) fn packets(namespace: &NetNs, family: u8, table: &str, name: &str) -> Result<u64> {
    let answer = namespace
        .run(|| ask(&request(family, table, name)))
        .context("nf_tables")?;
    let kind = answer.get(4..6).context("a short answer")?;
    ensure!(
        kind == NEW_OBJECT.to_ne_bytes(),
        "nf_tables has no counter {name}"
    );
    let data = attribute(&answer[HEADER + FAMILY_HEADER..], DATA);
    let packets = data.and_then(|data| attribute(data, PACKETS));
    let packets = packets.and_then(|bytes| bytes.try_into().ok());
    Ok(u64::from_be_bytes(packets.context("a counter without packets")?))
}

fn ask(request: &[u8]) -> io::Result<Vec<u8>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), request, &kernel, MsgFlags::empty())?;
    let mut answer = vec![0; 4096];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    Ok(answer)
}

fn request(family: u8, table: &str, name: &str) -> Vec<u8> {
    let mut body = vec![family, 0, 0, 0];
    for (kind, value) in [
        (TABLE, format!("{table}\0").into_bytes()),
        (NAME, format!("{name}\0").into_bytes()),
        (TYPE, COUNTER.to_be_bytes().to_vec()),
    ] {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        body.extend(length.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(GET_OBJECT.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// The bytes of the first attribute of a kind.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [length, more, kind, flags, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([length, more]));
        let value = bytes.get(4..length)?;
        if u16::from_ne_bytes([kind, flags]) & TYPE_MASK == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_by_kind() {
        let request = request(NETDEV, "bench", "dropped");
        let attributes = &request[HEADER + FAMILY_HEADER..];
        assert_eq!(attribute(attributes, TABLE), Some(&b"bench\0"[..]));
        assert_eq!(attribute(attributes, NAME), Some(&b"dropped\0"[..]));
        assert_eq!(attribute(attributes, TYPE), Some(&[0, 0, 0, 1][..]));
        assert_eq!(attribute(attributes, DATA), None);
        assert_eq!(attribute(&[9, 0, 1, 0, 5], 1), None);
    }
}
