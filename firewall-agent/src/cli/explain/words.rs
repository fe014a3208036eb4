//! The words of a packet on the command line.

use std::net::{IpAddr, SocketAddr};

use firewall_common::wire::{icmp, icmpv6, protocol};

use crate::{daemon::protocol_number, trial::Way};

/// The source port of a packet that names none; from the dynamic range (RFC 6335 6).
pub(super) const SOURCE_PORT: u16 = 50_000;

pub(super) fn way(text: &str) -> Result<Way, String> {
    match text {
        "in" => Ok(Way::In),
        "out" => Ok(Way::Out),
        _ => Err("say `in` or `out`".to_owned()),
    }
}

/// Number of the protocol, with type and code where it is ICMP. The source says which family `ping` is of.
pub(super) fn protocol(text: &str, source: &str) -> Result<(u8, Option<(u8, u8)>), String> {
    if text == "ping" {
        let is_v4 = source.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4());
        return Ok(if is_v4 {
            (protocol::ICMP, Some((icmp::ECHO_REQUEST, 0)))
        } else {
            (protocol::ICMPV6, Some((icmpv6::ECHO_REQUEST, 0)))
        });
    }
    let mut parts = text.split('/');
    let name = parts.next().unwrap_or_default();
    let number = protocol_number(name).ok_or_else(|| {
        format!(
            "`{name}` is no protocol; say tcp, udp, sctp, udplite, ping, icmp/TYPE, icmpv6/TYPE or a number"
        )
    })?;
    let part = |part: Option<&str>| {
        part.map(|part| {
            part.parse::<u8>()
                .map_err(|_| format!("`{part}` in `{text}` is no number from 0 to 255"))
        })
        .transpose()
    };
    let (kind, code) = (part(parts.next())?, part(parts.next())?);
    if parts.next().is_some() {
        return Err(format!("`{text}` has one part too many"));
    }
    let is_icmp = matches!(number, protocol::ICMP | protocol::ICMPV6);
    match kind {
        Some(_) if !is_icmp => Err(format!(
            "`{text}`: only ICMP messages have types; a port stands behind its address"
        )),
        Some(kind) => Ok((number, Some((kind, code.unwrap_or(0))))),
        None => Ok((number, None)),
    }
}

/// An address and a port: `203.0.113.7:443`, `[fd00::1]:443`; without a port where the protocol has none, or where
/// `otherwise` says which one is meant then.
pub(super) fn end(text: &str, number: u8, otherwise: Option<u16>) -> Result<(IpAddr, u16), String> {
    let has_ports = matches!(
        number,
        protocol::TCP | protocol::UDP | protocol::SCTP | protocol::UDP_LITE
    );
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return match (has_ports, otherwise) {
            (false, _) => Ok((address, 0)),
            (true, Some(port)) => Ok((address, port)),
            (true, None) if address.is_ipv6() => Err(format!("`{text}` has no port; say [{address}]:PORT")),
            (true, None) => Err(format!("`{text}` has no port; say {address}:PORT")),
        };
    }
    match text.parse::<SocketAddr>() {
        Ok(end) if has_ports => Ok((end.ip(), end.port())),
        Ok(_) => Err(format!("`{text}` has a port, and the protocol has none")),
        Err(_) => Err(format!(
            "`{text}` is no address such as 203.0.113.7:443 or [fd00::1]:443"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_read() {
        assert_eq!(protocol("tcp", "10.0.0.1"), Ok((6, None)));
        assert_eq!(protocol("ping", "10.0.0.1"), Ok((1, Some((8, 0)))));
        assert_eq!(protocol("ping", "fd00::1"), Ok((58, Some((128, 0)))));
        assert_eq!(protocol("icmp/3/4", "10.0.0.1"), Ok((1, Some((3, 4)))));
        assert_eq!(protocol("112", "10.0.0.1"), Ok((112, None)));
        for wrong in ["tpc", "tcp/443", "icmp/3/4/5", "icmp/300", "256"] {
            assert!(protocol(wrong, "10.0.0.1").is_err(), "{wrong}");
        }
    }

    #[test]
    fn ends_are_read() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(end("10.0.0.1:443", 6, None), Ok((address("10.0.0.1"), 443)));
        assert_eq!(end("[fd00::1]:443", 17, None), Ok((address("fd00::1"), 443)));
        assert_eq!(end("fd00::1", 6, Some(5)), Ok((address("fd00::1"), 5)));
        assert_eq!(end("10.0.0.1", 47, None), Ok((address("10.0.0.1"), 0)));
        for (wrong, number) in [
            ("10.0.0.1", 6),
            ("10.0.0.1:1", 47),
            ("10.0.0.256:1", 6),
            ("web", 6),
        ] {
            assert!(end(wrong, number, None).is_err(), "{wrong}");
        }
    }
}
