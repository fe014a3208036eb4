//! Frames as a matcher sees them.

use std::net::IpAddr;

use firewall_common::{
    counters::Hook,
    wire::{protocol, tcp::SYN},
};
use firewall_tests::{
    engine::Interface,
    frames::{Packet, Segment},
    host::{end, nets},
};

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the remote end to this host.
    In,
    /// From this host to the remote end.
    Out,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::In, Self::Out];

    /// The hook that sees it.
    pub(crate) const fn hook(self) -> Hook {
        match self {
            Self::In => Hook::Ingress,
            Self::Out => Hook::Egress,
        }
    }
}

/// What an IP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    Tcp,
    Udp,
    UdpLite,
    Sctp,
    /// Type and code of the addresses' family.
    Icmp(u8, u8),
    /// Another protocol.
    Protocol(u8),
}

/// A packet between this host and a remote end, whichever way it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) remote: IpAddr,
    pub(crate) payload: Payload,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) interface: Interface,
    pub(crate) vlans: Vec<u16>,
}

impl Probe {
    pub(crate) fn new(remote: &str, payload: Payload) -> Self {
        Self {
            remote: remote.parse().expect("an address"),
            payload,
            source_port: 40_000,
            destination_port: 443,
            interface: Interface::Eth0,
            vlans: Vec::new(),
        }
    }

    /// A SYN to port 443.
    pub(crate) fn with(remote: &str) -> Self {
        Self::new(remote, Payload::Tcp)
    }

    /// The same to another port.
    pub(crate) fn destination(mut self, port: u16) -> Self {
        self.destination_port = port;
        self
    }

    /// The same from another port.
    pub(crate) fn source(mut self, port: u16) -> Self {
        self.source_port = port;
        self
    }

    /// The same on another interface.
    pub(crate) fn on(mut self, interface: Interface) -> Self {
        self.interface = interface;
        self
    }

    /// The same with VLAN tags.
    pub(crate) fn tagged(mut self, vlans: &[u16]) -> Self {
        self.vlans = vlans.to_vec();
        self
    }

    /// This host's address of the same family.
    fn local(&self) -> IpAddr {
        let [v4, v6] = nets();
        if self.remote.is_ipv4() {
            v4.server
        } else {
            v6.server
        }
    }

    /// The packet.
    pub(crate) fn packet(&self, way: Way) -> Packet {
        let (source, destination) = match way {
            Way::In => (self.remote, self.local()),
            Way::Out => (self.local(), self.remote),
        };
        let (from, to) = (
            end(source, self.source_port),
            end(destination, self.destination_port),
        );
        match self.payload {
            Payload::Tcp => Packet::tcp(from, to, &Segment::new(SYN)),
            Payload::Udp => Packet::udp(from, to, 20),
            Payload::UdpLite => Packet::udp_lite(from, to, 20),
            Payload::Sctp => {
                let ports = [self.source_port, self.destination_port].map(u16::to_be_bytes);
                let payload = [ports.concat(), vec![0; 16]].concat();
                Packet::new(source, destination, protocol::SCTP, payload)
            }
            Payload::Icmp(kind, code) => {
                Packet::icmp(source, destination, kind, code, [0, 7, 0, 1], &[0; 16])
            }
            Payload::Protocol(number) => Packet::new(source, destination, number, vec![0; 24]),
        }
    }

    /// The frame.
    pub(crate) fn frame(&self, way: Way) -> Vec<u8> {
        let packet = self.packet(way);
        if self.interface == Interface::Tunnel {
            packet.ip()
        } else {
            packet.tagged(&self.vlans)
        }
    }
}

/// Probes of both families, alike but for the address.
pub(crate) fn both_families(probe: impl Fn(&str) -> Probe) -> Vec<Probe> {
    ["10.0.0.2", "fd00::2"].map(probe).into()
}

/// The same from or to each of these addresses.
pub(crate) fn each(remotes: &[&str]) -> Vec<Probe> {
    remotes.iter().map(|remote| Probe::with(remote)).collect()
}
