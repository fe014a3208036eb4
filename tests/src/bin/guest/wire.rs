//! A web server and, at the other end of its wire, everybody else.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use firewall_tests::netns::NetNs;
use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect as nix_connect, setsockopt, socket,
        sockopt::SendTimeout,
    },
    time::{TimeVal, TimeValLike},
};

use crate::Addresses;

/// How long a connection may take. Below TCP's first retransmission (1 s, RFC 6298 2.1), so that one attempt is one
/// SYN.
const PATIENCE_MILLISECONDS: i64 = 900;

/// Somebody's addresses: the last numbers of `10.77.A.B` and `fd77:A::B`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends(u8, u8);

/// The web server of the shipped inventory.
pub(crate) const HOST: Ends = Ends(2, 10);
/// Its load balancer.
pub(crate) const LB: Ends = Ends(1, 10);
/// Its database.
pub(crate) const DB: Ends = Ends(3, 10);
/// A machine in the management network.
pub(crate) const MANAGEMENT: Ends = Ends(9, 7);
/// Somebody whom no policy names.
pub(crate) const STRANGER: Ends = Ends(99, 7);

/// Whoever is at the other end.
const OTHERS: [Ends; 4] = [LB, DB, MANAGEMENT, STRANGER];
/// Ports that take connections, on the host and at the other end.
const HOST_PORTS: [u16; 3] = [22, 443, 8080];
const PEER_PORTS: [u16; 3] = [22, 443, 3306];

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It worked.
    Reached,
    /// Nothing came back.
    Silence,
    /// A refusal came back.
    Refused,
}

impl Ends {
    /// One address of each family.
    pub(crate) fn addresses(self) -> Addresses {
        let Self(net, host) = self;
        [
            IpAddr::from([10, 77, net, host]),
            // Written as in the inventory: the decimal digits read as hexadecimal ones.
            format!("fd77:{net}::{host}").parse().expect("an IPv6 address"),
        ]
    }

    /// Pairs of addresses, one for each family.
    pub(crate) fn to(self, other: Self) -> [(IpAddr, IpAddr); 2] {
        let ([a4, a6], [b4, b6]) = (self.addresses(), other.addresses());
        [(a4, b4), (a6, b6)]
    }

    fn give(self, namespace: &NetNs) -> Result<()> {
        let [v4, v6] = self.addresses();
        namespace.address("eth0", &format!("{v4}/16"))?;
        namespace.address("eth0", &format!("{v6}/16"))
    }
}

/// Two namespaces joined by veth.
pub(crate) struct Wire {
    /// The web server.
    pub(crate) host: NetNs,
    /// Everybody else.
    pub(crate) peer: NetNs,
}

impl Wire {
    /// Makes both, with listeners that echo.
    pub(crate) fn new() -> Result<Self> {
        let (host, peer) = (NetNs::new("host")?, NetNs::new("peer")?);
        host.join("eth0", &peer, "eth0")?;
        HOST.give(&host)?;
        OTHERS.iter().try_for_each(|ends| ends.give(&peer))?;
        for (namespace, ports) in [(&host, HOST_PORTS), (&peer, PEER_PORTS)] {
            for port in ports {
                let listener = namespace.run(|| TcpListener::bind(("::", port)))?;
                thread::spawn(move || serve(&listener));
            }
        }
        Ok(Self { host, peer })
    }
}

/// Sends back whatever comes, on every connection.
fn serve(listener: &TcpListener) {
    for mut stream in listener.incoming().map_while(io::Result::ok) {
        thread::spawn(move || {
            let mut data = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut data) {
                if stream.write_all(&data[..length]).is_err() {
                    return;
                }
            }
        });
    }
}

/// Tries to connect from an address of this namespace.
pub(crate) fn connect(source: IpAddr, target: IpAddr, port: u16) -> Outcome {
    match open(source, target, port).map_err(|error| error.kind()) {
        Ok(_) => Outcome::Reached,
        Err(io::ErrorKind::ConnectionRefused) => Outcome::Refused,
        Err(_) => Outcome::Silence,
    }
}

/// A connection from an address of this namespace.
pub(crate) fn open(source: IpAddr, target: IpAddr, port: u16) -> io::Result<TcpStream> {
    let family = match target {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket: OwnedFd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(
        &socket,
        SendTimeout,
        &TimeVal::milliseconds(PATIENCE_MILLISECONDS),
    )?;
    bind(
        socket.as_raw_fd(),
        &SockaddrStorage::from(SocketAddr::new(source, 0)),
    )?;
    nix_connect(
        socket.as_raw_fd(),
        &SockaddrStorage::from(SocketAddr::new(target, port)),
    )?;
    Ok(TcpStream::from(socket))
}

/// Sends something over a connection to a listener and waits until it is back.
pub(crate) fn echo(stream: &mut TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"echo")?;
    let mut answer = [0; 4];
    stream
        .read_exact(&mut answer)
        .context("the open connection is cut")?;
    ensure!(answer == *b"echo", "something else came back");
    Ok(())
}

/// One echo request.
pub(crate) fn ping(from: &NetNs, source: Option<IpAddr>, target: IpAddr) -> Outcome {
    let mut ping = from.command("busybox");
    ping.args(["ping", "-q", "-c", "1", "-W", "1"]);
    if let Some(source) = source {
        ping.args(["-I", &source.to_string()]);
    }
    let output = ping.arg(target.to_string()).output();
    if output.is_ok_and(|output| output.status.success()) {
        Outcome::Reached
    } else {
        Outcome::Silence
    }
}
