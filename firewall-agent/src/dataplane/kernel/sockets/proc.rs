//! Sockets from `/proc/thread-self/net/tcp` and its like (`Documentation/networking/proc_net_tcp.rst`).

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use firewall_common::wire::protocol;

use super::Socket;

/// All sockets of a protocol, in both families. The thread's own directory: its network namespace need not be that of
/// the process.
pub(super) fn sockets(protocol: u8) -> io::Result<Vec<Socket>> {
    let name = if protocol == protocol::TCP { "tcp" } else { "udp" };
    let mut sockets = Vec::new();
    for suffix in ["", "6"] {
        let path = format!("/proc/thread-self/net/{name}{suffix}");
        match fs::read_to_string(path) {
            Ok(text) => sockets.extend(text.lines().skip(1).filter_map(|line| socket(line, protocol))),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

fn socket(line: &str, protocol: u8) -> Option<Socket> {
    let mut fields = line.split_whitespace().skip(1);
    Some(Socket {
        protocol,
        local: end(fields.next()?)?,
        remote: end(fields.next()?)?,
        state: u8::from_str_radix(fields.next()?, 16).ok()?,
    })
}

/// `0100007F:1F90`: address as words in the machine's order, and port.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = (0..address.len())
        .step_by(8)
        .map(|start| {
            Some(
                u32::from_str_radix(address.get(start..start + 8)?, 16)
                    .ok()?
                    .to_ne_bytes(),
            )
        })
        .collect::<Option<_>>()?;
    let ip = match *words.as_slice() {
        [word] => IpAddr::from(Ipv4Addr::from(word)),
        [first, second, third, fourth] => {
            let octets: [u8; 16] = bytemuck::cast([first, second, third, fourth]);
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line =
            "   0: 0100007F:1F90 0200000A:01BB 01 00000000:00000000 00:00000000 00000000     0        0 1";
        let socket = socket(line, protocol::TCP).unwrap();
        assert_eq!(socket.local.to_string(), "127.0.0.1:8080");
        assert_eq!(socket.remote.to_string(), "10.0.0.2:443");
        assert_eq!(socket.state, 1);
        assert_eq!(end("0100007F"), None);
        assert_eq!(end("01007F:1F90"), None);
        let loopback = end("00000000000000000000000001000000:0016").unwrap();
        assert_eq!(loopback.to_string(), "[::1]:22");
    }
}
