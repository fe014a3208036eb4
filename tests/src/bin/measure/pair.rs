//! A server and a client.

use std::net::SocketAddr;

use anyhow::Result;
use firewall_tests::{
    netns::NetNs,
    tiny::{self, Attached},
};
use nix::net::if_::if_nametoindex;

use crate::policies::LOAD_BALANCER_ADDRESSES;

/// Of the server; the shipped policies filter interfaces that are named like it.
pub(crate) const INTERFACE: &str = "eth0";
const CLIENT: &str = "10.77.200.1";

/// Two network namespaces, joined by a veth pair.
pub(crate) struct Pair {
    pub(crate) client: NetNs,
    pub(crate) server: NetNs,
}

impl Pair {
    /// New ones.
    pub(crate) fn new() -> Result<Self> {
        let (client, server) = (NetNs::unnamed()?, NetNs::unnamed()?);
        client.join(INTERFACE, &server, INTERFACE)?;
        server.address(INTERFACE, &format!("{}/16", LOAD_BALANCER_ADDRESSES[0]))?;
        client.address(INTERFACE, &format!("{CLIENT}/16"))?;
        // Ports are used again before the server has forgotten their last connection.
        client.sysctl("net/ipv4/ip_local_port_range", "1024 65535")?;
        Ok(Self { client, server })
    }

    /// Attaches a program to the server that passes everything, at native XDP.
    pub(crate) fn pass_all(&self) -> Result<Attached> {
        let index = self.server.run(|| if_nametoindex(INTERFACE))?;
        Ok(self.server.run(|| tiny::pass_all(index))?)
    }

    /// A port of the server.
    pub(crate) fn end(port: u16) -> Result<SocketAddr> {
        Ok(SocketAddr::new(LOAD_BALANCER_ADDRESSES[0].parse()?, port))
    }
}
