//! A packet that is asked about.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use firewall_common::{
    counters::Hook,
    wire::{icmp, icmpv6, protocol},
};
use serde::{Deserialize, Serialize};

use crate::{
    daemon::protocol_name,
    policy::{
        evaluate::{Probe, ProbeProtocol},
        model::Direction,
    },
};

/// Largest VLAN identifier of IEEE 802.1Q.
const LAST_VLAN: u16 = 4094;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// It comes in.
    In,
    /// It goes out.
    Out,
}

impl Way {
    /// The hook that judges it.
    #[must_use]
    pub const fn hook(self) -> Hook {
        match self {
            Self::In => Hook::Ingress,
            Self::Out => Hook::Egress,
        }
    }

    /// The direction of the rules that are asked, unless the packet is forwarded.
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self {
            Self::In => Direction::In,
            Self::Out => Direction::Out,
        }
    }

    /// `in` or `out`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// The first packet of a connection: a TCP SYN, a datagram, an ICMP message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Which way it goes.
    pub way: Way,
    /// IP protocol number.
    pub protocol: u8,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Source port, where the protocol has ports.
    #[serde(default)]
    pub source_port: u16,
    /// Destination port, where the protocol has ports.
    #[serde(default)]
    pub destination_port: u16,
    /// Type and code, where the protocol is ICMP or `ICMPv6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<(u8, u8)>,
    /// Name of the interface; a rule for certain interfaces does not match without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// 802.1Q identifier, if the packet is tagged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

/// A packet that there cannot be, or that says too little.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Two families.
    #[error("{source_address} and {destination} are not of one family")]
    Families {
        /// Source.
        source_address: IpAddr,
        /// Destination.
        destination: IpAddr,
    },
    /// `ICMPv6` between IPv4 addresses, or ICMP between IPv6 addresses.
    #[error("protocol {0} is not of the addresses' family")]
    IcmpFamily(String),
    /// ICMP without type.
    #[error("an ICMP message has a type: say icmp/8/0, icmpv6/128/0, or ping")]
    NoIcmpType,
    /// An ICMP error.
    #[error(
        "ICMP errors are judged by the packet that they quote, which is not known here; `fwctl replay` judges a capture with it"
    )]
    IcmpError,
    /// Not a payload.
    #[error("protocol {0} is an IPv6 extension header, not a payload")]
    Extension(u8),
    /// No such VLAN.
    #[error("there is no VLAN {0}; the last one is 4094")]
    Vlan(u16),
}

impl Question {
    /// Whether there can be such a packet.
    pub fn check(&self) -> Result<(), QuestionError> {
        let is_v4 = self.source.is_ipv4();
        if is_v4 != self.destination.is_ipv4() {
            return Err(QuestionError::Families {
                source_address: self.source,
                destination: self.destination,
            });
        }
        if let Some(vlan) = self.vlan.filter(|vlan| *vlan > LAST_VLAN) {
            return Err(QuestionError::Vlan(vlan));
        }
        match (self.protocol, self.icmp) {
            (protocol::ICMP, Some((kind, _))) if is_v4 && is_error_v4(kind) => Err(QuestionError::IcmpError),
            (protocol::ICMPV6, Some((kind, _))) if !is_v4 && kind < icmpv6::FIRST_INFORMATION => {
                Err(QuestionError::IcmpError)
            }
            (protocol::ICMP, Some(_)) if is_v4 => Ok(()),
            (protocol::ICMPV6, Some(_)) if !is_v4 => Ok(()),
            (protocol::ICMP | protocol::ICMPV6, Some(_)) => {
                Err(QuestionError::IcmpFamily(protocol_name(self.protocol)))
            }
            (protocol::ICMP | protocol::ICMPV6, None) => Err(QuestionError::NoIcmpType),
            (number, _) if !is_v4 && is_extension(number) => Err(QuestionError::Extension(number)),
            _ => Ok(()),
        }
    }

    /// The other end.
    #[must_use]
    pub const fn remote(&self) -> (IpAddr, u16) {
        match self.way {
            Way::In => (self.source, self.source_port),
            Way::Out => (self.destination, self.destination_port),
        }
    }

    /// This end.
    #[must_use]
    pub const fn local(&self) -> (IpAddr, u16) {
        match self.way {
            Way::In => (self.destination, self.destination_port),
            Way::Out => (self.source, self.source_port),
        }
    }

    /// Whether the protocol has ports.
    #[must_use]
    pub const fn has_ports(&self) -> bool {
        matches!(
            self.protocol,
            protocol::TCP | protocol::UDP | protocol::SCTP | protocol::UDP_LITE
        )
    }

    /// As the naive evaluator takes it.
    #[must_use]
    pub fn probe(&self, direction: Direction) -> Probe<'_> {
        Probe {
            direction,
            source: self.source,
            destination: self.destination,
            protocol: match self.icmp {
                Some((kind, code)) => ProbeProtocol::Icmp { kind, code },
                None if self.has_ports() => ProbeProtocol::Ports {
                    protocol: self.protocol,
                    source: self.source_port,
                    destination: self.destination_port,
                },
                None => ProbeProtocol::Number(self.protocol),
            },
            interface: self.interface.as_deref(),
            vlan: self.vlan,
        }
    }
}

const fn is_error_v4(kind: u8) -> bool {
    matches!(
        kind,
        icmp::UNREACHABLE | icmp::SOURCE_QUENCH | icmp::TIME_EXCEEDED | icmp::PARAMETER_PROBLEM
    )
}

const fn is_extension(number: u8) -> bool {
    matches!(
        number,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
    )
}

impl fmt::Display for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, from, to) = (protocol_name(self.protocol), self.source, self.destination);
        write!(formatter, "{} {name}", self.way.name())?;
        if let Some((kind, code)) = self.icmp {
            write!(formatter, "/{kind}/{code}")?;
        }
        if self.has_ports() {
            let ends = [(from, self.source_port), (to, self.destination_port)].map(SocketAddr::from);
            write!(formatter, " {} -> {}", ends[0], ends[1])?;
        } else {
            write!(formatter, " {from} -> {to}")?;
        }
        if let Some(vlan) = self.vlan {
            write!(formatter, " vlan {vlan}")?;
        }
        match &self.interface {
            Some(name) => write!(formatter, " on {name}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(source: &str, destination: &str) -> Question {
        Question {
            way: Way::In,
            protocol: 6,
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            source_port: 51000,
            destination_port: 443,
            icmp: None,
            interface: None,
            vlan: None,
        }
    }

    #[test]
    fn packets_that_there_cannot_be_are_refused() {
        let good = question("203.0.113.7", "10.0.1.10");
        assert_eq!(good.check(), Ok(()));
        let with = |change: fn(&mut Question)| {
            let mut other = good.clone();
            change(&mut other);
            other.check()
        };
        assert!(matches!(
            question("203.0.113.7", "fd00::1").check(),
            Err(QuestionError::Families { .. })
        ));
        assert!(matches!(
            with(|it| it.protocol = 58),
            Err(QuestionError::NoIcmpType)
        ));
        let wrong_family = with(|it| (it.protocol, it.icmp) = (58, Some((128, 0))));
        assert!(matches!(wrong_family, Err(QuestionError::IcmpFamily(_))));
        let error = with(|it| (it.protocol, it.icmp) = (1, Some((3, 4))));
        assert_eq!(error, Err(QuestionError::IcmpError));
        assert_eq!(with(|it| it.vlan = Some(4095)), Err(QuestionError::Vlan(4095)));
        let mut routing = question("fd00::1", "fd00::2");
        routing.protocol = 43;
        assert_eq!(routing.check(), Err(QuestionError::Extension(43)));
    }

    #[test]
    fn questions_read_like_packets() {
        let mut question = question("fd00::1", "fd00::2");
        assert_eq!(question.to_string(), "in tcp [fd00::1]:51000 -> [fd00::2]:443");
        (question.protocol, question.icmp, question.vlan) = (58, Some((128, 0)), Some(7));
        question.interface = Some("eth0".to_owned());
        assert_eq!(
            question.to_string(),
            "in icmpv6/128/0 fd00::1 -> fd00::2 vlan 7 on eth0"
        );
    }
}
