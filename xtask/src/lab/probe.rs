//! What the lab's clients and its attacker try, and what comes of it.

use std::{
    fmt, io,
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::network::Host;

/// How long a probe waits. Below TCP's first retransmission (1 s, RFC 6298 2.1), so that one probe is one packet.
const PATIENCE: Duration = Duration::from_millis(700);
/// What counts as "at once": far below any time-out of a program.
const AT_ONCE: Duration = Duration::from_millis(200);

/// A single packet that asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// A SYN to this port.
    Tcp(u16),
    /// A datagram to this port, where an echo service sends it back.
    Udp(u16),
    /// An echo request.
    Ping,
}

/// How an attempt to reach something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It worked.
    Reached,
    /// Nothing came back until patience ran out.
    Silence,
    /// It was turned down, by a reset, an ICMP error or the own host, and so fast that nobody had to wait.
    RefusedAtOnce,
    /// It was turned down, but late.
    RefusedLate,
}

impl fmt::Display for Reach {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Reached => "reached",
            Self::Silence => "silence",
            Self::RefusedAtOnce => "refused at once",
            Self::RefusedLate => "refused late",
        })
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(out, "TCP port {port}"),
            Self::Udp(port) => write!(out, "UDP port {port}"),
            Self::Ping => out.write_str("ping"),
        }
    }
}

impl Probe {
    /// Sends the packet and says what came of it.
    pub(crate) fn send(self, from: Host, to: IpAddr) -> Result<Reach> {
        match self {
            Self::Tcp(port) => from.namespace().run(|| tcp(SocketAddr::new(to, port)))?,
            Self::Udp(port) => from.namespace().run(|| udp(SocketAddr::new(to, port)))?,
            Self::Ping => ping(from, to),
        }
    }
}

fn tcp(to: SocketAddr) -> Result<Reach> {
    let start = Instant::now();
    let outcome = TcpStream::connect_timeout(&to, PATIENCE);
    reach(outcome.map(drop), start)
}

fn udp(to: SocketAddr) -> Result<Reach> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let start = Instant::now();
    let outcome = socket.send(b"a question").and_then(|_| socket.recv(&mut [0; 64]));
    reach(outcome.map(drop), start)
}

/// What the outcome of a call on a socket says; an error where it is about something else, such as a missing route.
fn reach(outcome: io::Result<()>, start: Instant) -> Result<Reach> {
    let Err(error) = outcome else {
        return Ok(Reach::Reached);
    };
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Ok(Reach::Silence),
        // A reset or "port unreachable", "administratively prohibited" of ICMPv6, and that of ICMP.
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::HostUnreachable => Ok(if start.elapsed() < AT_ONCE {
            Reach::RefusedAtOnce
        } else {
            Reach::RefusedLate
        }),
        _ => Err(error).context("the probe itself failed"),
    }
}

/// `ping` says by its numbers whether an answer or an error came back.
fn ping(from: Host, to: IpAddr) -> Result<Reach> {
    let mut ping = from.namespace().command("ping");
    ping.args(["-n", "-q", "-c", "1", "-W", "1"]).arg(to.to_string());
    let start = Instant::now();
    let output = ping.output().context("running ping")?;
    if output.status.success() {
        return Ok(Reach::Reached);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains("1 packets transmitted") {
        bail!("ping failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(match text.contains("+1 errors") {
        true if start.elapsed() < AT_ONCE => Reach::RefusedAtOnce,
        true => Reach::RefusedLate,
        false => Reach::Silence,
    })
}

/// The first line that a server says by itself, as SSH does, or why there is none.
pub(crate) fn greeting(from: Host, to: IpAddr, port: u16) -> Result<io::Result<String>> {
    from.namespace().run(|| first_line(SocketAddr::new(to, port)))
}

fn first_line(of: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&of, PATIENCE)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut text = [0; 64];
    let length = stream.read(&mut text)?;
    let text = String::from_utf8_lossy(&text[..length]);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
