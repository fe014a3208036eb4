//! The connections of this host's sockets, for the takeover.

mod diag;
mod proc;

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
};

use firewall_common::{flow::flow_flags, wire::protocol};

use crate::dataplane::Listener;

/// One socket as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) protocol: u8,
    pub(super) state: u8,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// Socket states (`net/tcp_states.h`), of UDP sockets too.
mod state {
    pub(super) const ESTABLISHED: u8 = 1;
    pub(super) const SYN_RECEIVED: u8 = 3;
    pub(super) const FIN_WAIT_1: u8 = 4;
    pub(super) const FIN_WAIT_2: u8 = 5;
    /// An unconnected UDP socket.
    pub(super) const CLOSE: u8 = 7;
    pub(super) const CLOSE_WAIT: u8 = 8;
    pub(super) const LAST_ACK: u8 = 9;
    pub(super) const LISTEN: u8 = 10;
    pub(super) const CLOSING: u8 = 11;
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) protocol: u8,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) opened_by_remote: bool,
    /// Which sides have sent their FIN: bits of [`flow_flags`].
    pub(super) fins: u8,
}

/// The connections of this network namespace, those over loopback left out.
///
/// The kernel is asked by `sock_diag`; where it lacks that (a module that cannot be loaded), `/proc/net` is read.
pub(super) fn connections() -> io::Result<Vec<Connection>> {
    Ok(connections_among(&sockets()?))
}

/// Sockets that take connections or packets from anybody, those on loopback left out.
pub(super) fn listeners() -> io::Result<Vec<Listener>> {
    let sockets = sockets()?.into_iter().map(canonical);
    let listens = |socket: &Socket| match socket.protocol {
        protocol::TCP => socket.state == state::LISTEN,
        _ => socket.state == state::CLOSE && socket.remote.port() == 0,
    };
    let outside = sockets.filter(|socket| listens(socket) && !socket.local.ip().is_loopback());
    Ok(outside
        .map(|socket| Listener {
            protocol: socket.protocol,
            local: socket.local,
        })
        .collect())
}

fn sockets() -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for protocol in [protocol::TCP, protocol::UDP] {
        match diag::sockets(protocol) {
            Ok(found) => sockets.extend(found),
            Err(_) => sockets.extend(proc::sockets(protocol)?),
        }
    }
    Ok(sockets)
}

fn connections_among(sockets: &[Socket]) -> Vec<Connection> {
    let sockets: Vec<Socket> = sockets.iter().copied().map(canonical).collect();
    let listeners = Listeners::among(&sockets);
    let connections = sockets.iter().filter(|socket| is_connected(socket));
    connections
        .map(|socket| Connection {
            protocol: socket.protocol,
            local: socket.local,
            remote: socket.remote,
            opened_by_remote: listeners.accept(socket),
            fins: fins(socket.state),
        })
        .collect()
}

/// IPv4 in IPv6 sockets stands on the wire as IPv4.
fn canonical(socket: Socket) -> Socket {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Socket {
        local: canonical(socket.local),
        remote: canonical(socket.remote),
        ..socket
    }
}

fn is_connected(socket: &Socket) -> bool {
    let open = match socket.protocol {
        protocol::TCP => matches!(
            socket.state,
            state::ESTABLISHED
                | state::SYN_RECEIVED
                | state::FIN_WAIT_1
                | state::FIN_WAIT_2
                | state::CLOSE_WAIT
                | state::LAST_ACK
                | state::CLOSING
        ),
        _ => socket.state == state::ESTABLISHED,
    };
    open && socket.remote.port() != 0 && !socket.remote.ip().is_loopback() && !socket.local.ip().is_loopback()
}

const fn fins(state: u8) -> u8 {
    match state {
        state::FIN_WAIT_1 | state::FIN_WAIT_2 => flow_flags::LOCAL_FIN,
        state::CLOSE_WAIT => flow_flags::REMOTE_FIN,
        state::LAST_ACK | state::CLOSING => flow_flags::LOCAL_FIN | flow_flags::REMOTE_FIN,
        _ => 0,
    }
}

/// Ports of this host that take connections.
#[derive(Debug, Default)]
struct Listeners {
    everywhere: HashSet<(u8, u16)>,
    at: HashSet<(u8, u16, IpAddr)>,
}

impl Listeners {
    fn among(sockets: &[Socket]) -> Self {
        let mut listeners = Self::default();
        for socket in sockets {
            let listens = match socket.protocol {
                protocol::TCP => socket.state == state::LISTEN,
                _ => socket.state == state::CLOSE,
            };
            let (protocol, port, ip) = (socket.protocol, socket.local.port(), socket.local.ip());
            if listens && ip.is_unspecified() {
                listeners.everywhere.insert((protocol, port));
            } else if listens {
                listeners.at.insert((protocol, port, ip));
            }
        }
        listeners
    }

    /// Whether the other end has opened the connection: a port of this host that listens is not one that it calls
    /// from.
    fn accept(&self, socket: &Socket) -> bool {
        let (protocol, port, ip) = (socket.protocol, socket.local.port(), socket.local.ip());
        self.everywhere.contains(&(protocol, port)) || self.at.contains(&(protocol, port, ip))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn socket(protocol: u8, state: u8, local: &str, remote: &str) -> Socket {
        Socket {
            protocol,
            state,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn who_has_opened_a_connection_is_told_by_listeners() {
        let tcp = |state, local: &str, remote: &str| socket(protocol::TCP, state, local, remote);
        let found = connections_among(&[
            tcp(state::LISTEN, "[::]:22", "[::]:0"),
            tcp(state::LISTEN, "192.0.2.1:80", "0.0.0.0:0"),
            tcp(
                state::ESTABLISHED,
                "[::ffff:192.0.2.1]:22",
                "[::ffff:192.0.2.9]:5000",
            ),
            tcp(state::CLOSE_WAIT, "192.0.2.1:80", "192.0.2.9:5001"),
            tcp(state::ESTABLISHED, "192.0.2.2:80", "192.0.2.9:5002"),
            tcp(state::FIN_WAIT_2, "[2001:db8::1]:40000", "[2001:db8::9]:443"),
            tcp(6, "192.0.2.1:22", "192.0.2.9:5003"),
            tcp(state::ESTABLISHED, "127.0.0.1:22", "127.0.0.1:5004"),
            socket(protocol::UDP, state::CLOSE, "0.0.0.0:123", "0.0.0.0:0"),
            socket(
                protocol::UDP,
                state::ESTABLISHED,
                "192.0.2.1:40001",
                "192.0.2.9:53",
            ),
        ]);
        let short: Vec<_> = found
            .iter()
            .map(|it| (it.remote.port(), it.opened_by_remote, it.fins))
            .collect();
        assert_eq!(
            short,
            [
                (5000, true, 0),
                (5001, true, flow_flags::REMOTE_FIN),
                (5002, false, 0),
                (443, false, flow_flags::LOCAL_FIN),
                (53, false, 0),
            ]
        );
        assert_eq!(found[0].remote.to_string(), "192.0.2.9:5000");
    }

    #[test]
    fn both_ways_of_listing_see_the_same_sockets() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let wanted = [
                (state::LISTEN, listener.local_addr().unwrap().port(), 0),
                (
                    state::ESTABLISHED,
                    client.local_addr().unwrap().port(),
                    client.peer_addr().unwrap().port(),
                ),
            ];
            let proc = proc::sockets(protocol::TCP).unwrap();
            let diag = diag::sockets(protocol::TCP);
            let lists = std::iter::once(proc).chain(diag);
            for sockets in lists {
                for (state, local, remote) in wanted {
                    assert!(
                        sockets.iter().any(|socket| socket.state == state
                            && socket.local.port() == local
                            && socket.remote.port() == remote
                            && socket.local.ip() == listener.local_addr().unwrap().ip()),
                        "{state} {local} {remote} in {sockets:?}"
                    );
                }
            }
        }
    }
}
