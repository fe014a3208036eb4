//! What the lab's clients and its attacker try, and what comes of it.

use std::{
    fmt, io,
    io::Read,
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::Result;

use super::network::Host;

/// How long a TCP probe waits. Below the first retransmission (1 s, RFC 6298 2.1), so that one probe is one SYN.
const TCP_PATIENCE: Duration = Duration::from_millis(700);
/// What counts as "at once": far below any time-out of a program.
const AT_ONCE: Duration = Duration::from_millis(200);

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

/// Sends one SYN and says what came of it.
pub(crate) fn tcp(from: Host, to: IpAddr, port: u16) -> Result<Reach> {
    let address = SocketAddr::new(to, port);
    from.namespace().run(|| {
        let start = Instant::now();
        match TcpStream::connect_timeout(&address, TCP_PATIENCE) {
            Ok(_) => Reach::Reached,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Reach::Silence,
            Err(_) if start.elapsed() < AT_ONCE => Reach::RefusedAtOnce,
            Err(_) => Reach::RefusedLate,
        }
    })
}

/// The first line that a server says by itself, as SSH does.
pub(crate) fn greeting(from: Host, to: IpAddr, port: u16) -> Result<Option<String>> {
    let address = SocketAddr::new(to, port);
    from.namespace().run(|| {
        let mut stream = TcpStream::connect_timeout(&address, TCP_PATIENCE).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut text = [0; 64];
        let length = stream.read(&mut text).ok()?;
        String::from_utf8_lossy(&text[..length])
            .lines()
            .next()
            .map(str::to_owned)
    })
}
