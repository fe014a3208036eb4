//! Sockets with time-outs, in namespaces.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use firewall_tests::netns::NetNs;

/// How long something may take that arrives.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(2);
/// How long to wait for what is not to arrive.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// This host's address of each family, and one of the neighbour's that rules allow.
pub(crate) const PAIRS: [(&str, &str); 2] = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")];

pub(crate) fn end(address: &str, port: u16) -> SocketAddr {
    (address.parse::<IpAddr>().expect("an address"), port).into()
}

pub(crate) fn listen(namespace: &NetNs, address: &str, port: u16) -> TcpListener {
    namespace
        .run(|| TcpListener::bind(end(address, port)))
        .expect("a free port")
}

/// A connection from an address, with any or a given port.
pub(crate) fn connect(
    namespace: &NetNs,
    from: SocketAddr,
    to: SocketAddr,
    limit: Duration,
) -> io::Result<TcpStream> {
    namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let socket = match from {
                SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
                SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
            }?;
            socket.set_reuseaddr(true)?;
            socket.bind(from)?;
            let connected = tokio::time::timeout(limit, socket.connect(to)).await;
            let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(ARRIVAL))?;
            Ok(stream)
        })
    })
}

/// A connected pair, the client first.
pub(crate) fn pair(client: (&NetNs, &str), server: (&NetNs, &str), port: u16) -> (TcpStream, TcpStream) {
    let listener = listen(server.0, server.1, port);
    let one = connect(client.0, end(client.1, 0), end(server.1, port), ARRIVAL).expect("it connects");
    let (other, _) = listener.accept().expect("it has come");
    other.set_read_timeout(Some(ARRIVAL)).expect("a time-out");
    (one, other)
}

/// How long a byte of a live connection may take.
const WORD: Duration = Duration::from_secs(1);

/// Whether bytes get from each end to the other.
pub(crate) fn exchange(one: &TcpStream, other: &TcpStream) -> bool {
    [(one, other), (other, one)]
        .into_iter()
        .all(|(mut from, mut to)| {
            to.set_read_timeout(Some(WORD)).expect("a time-out");
            let mut byte = [0];
            from.write_all(b"x").is_ok() && to.read_exact(&mut byte).is_ok()
        })
}

/// A UDP socket with a time-out.
pub(crate) fn udp(namespace: &NetNs, address: &str, port: u16) -> UdpSocket {
    let socket = namespace
        .run(|| UdpSocket::bind(end(address, port)))
        .expect("a free port");
    socket.set_read_timeout(Some(ARRIVAL)).expect("a time-out");
    socket
}

/// Whether nothing comes.
pub(crate) fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(SILENCE)).expect("a time-out");
    let silent = received(socket).is_none();
    socket.set_read_timeout(Some(ARRIVAL)).expect("a time-out");
    silent
}

/// The length of the next datagram.
pub(crate) fn received(socket: &UdpSocket) -> Option<usize> {
    socket.recv(&mut vec![0; 65_536]).ok()
}
