//! Connections that were open before the firewall was.

use std::net::SocketAddr;

use firewall_common::{
    address::Address,
    flow::{Flow, FlowKey, NewFlow, State, flow_flags},
    wire::protocol,
};

/// A connection of this host's sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFlow {
    /// IP protocol: TCP or UDP.
    pub protocol: u8,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Whether the other end has opened it: a socket of this host listens on the local port.
    pub opened_by_remote: bool,
    /// Which sides have closed already: [`flow_flags::REMOTE_FIN`], [`flow_flags::LOCAL_FIN`].
    pub fins: u8,
    /// Name of the interface that packets to the other end leave by, if there is a route.
    pub interface: Option<String>,
}

/// A socket of this host that takes connections, or packets, from anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// IP protocol: TCP or UDP.
    pub protocol: u8,
    /// Where.
    pub local: SocketAddr,
}

/// What came of taking over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Takeover {
    /// Connections looked at.
    pub seen: u32,
    /// Entered as flows.
    pub entered: u32,
    /// Known as flows before.
    pub known: u32,
    /// Not allowed by the policy.
    pub denied: u32,
    /// Allowed, but the table is full.
    pub refused: u32,
}

/// The rule that allows a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Number of its counter.
    pub rule: u16,
    /// When it ends, in ticks; zero is never.
    pub expires_ticks: u32,
}

impl Admission {
    /// By a rule that does not end.
    #[must_use]
    pub const fn for_good(rule: u16) -> Self {
        Self {
            rule,
            expires_ticks: 0,
        }
    }
}

/// The flow that a connection becomes: an assured one, since both ends have taken part.
pub(super) fn established(socket: &SocketFlow, admission: Admission, epoch: u32, now_ticks: u32) -> NewFlow {
    const BOTH: u8 = flow_flags::REMOTE_FIN | flow_flags::LOCAL_FIN;
    let (family, remote) = Address::from_ip(socket.remote.ip());
    let (_, local) = Address::from_ip(socket.local.ip());
    let state = match socket.fins {
        _ if socket.protocol != protocol::TCP => State::Replied,
        0 => State::Established,
        BOTH => State::Closing,
        _ => State::HalfClosed,
    };
    let opener = if socket.opened_by_remote {
        flow_flags::OPENED_BY_REMOTE
    } else {
        0
    };
    NewFlow {
        key: FlowKey {
            remote,
            local,
            remote_port: socket.remote.port(),
            local_port: socket.local.port(),
            protocol: socket.protocol,
            family: family as u8,
            reserved: 0,
        },
        flow: Flow {
            seen_ticks: now_ticks,
            state,
            flags: flow_flags::REPLIED | opener | socket.fins,
            rule: admission.rule,
        }
        .pack(),
        epoch,
        expires_ticks: admission.expires_ticks,
        local_acknowledgement: 0,
        opened_ticks: now_ticks,
    }
}
