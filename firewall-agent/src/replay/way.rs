//! Which way captured packets went.

use std::net::IpAddr;

use firewall_common::headers::Headers;
use ipnet::IpNet;

use crate::trial::Way;

/// How to tell which way a packet went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directions {
    /// All the same way.
    All(Way),
    /// As the capture says, or by the addresses of the host.
    Auto {
        /// Addresses and networks that are the host's own.
        local: Vec<IpNet>,
        /// Whether the policy has rules for forwarded packets, so that others' packets come in, too.
        forwards: bool,
    },
}

/// Why it cannot be told which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoWay {
    /// Neither end is the host's.
    Elsewhere,
    /// Nothing says which addresses are the host's.
    NoLocal,
}

impl Directions {
    /// Which way a packet went; `said` is what the capture says, `headers` are none where they cannot be read.
    pub fn of(&self, said: Option<Way>, headers: Option<&Headers>) -> Result<Way, NoWay> {
        let (local, forwards) = match self {
            Self::All(way) => return Ok(*way),
            Self::Auto { local, forwards } => (local, *forwards),
        };
        if let Some(way) = said {
            return Ok(way);
        }
        // What is not IP, or cannot be read, is of no interest to what the host sends.
        let Some((source, destination)) = headers.and_then(ends) else {
            return Ok(Way::In);
        };
        if local.is_empty() {
            return Err(NoWay::NoLocal);
        }
        let is_own = |address: IpAddr| local.iter().any(|network| network.contains(&address));
        if is_own(source) && !is_own(destination) {
            return Ok(Way::Out);
        }
        let is_for_all = destination.is_multicast()
            || matches!(destination, IpAddr::V4(address) if address.is_broadcast());
        if is_own(destination) || is_for_all || forwards {
            Ok(Way::In)
        } else {
            Err(NoWay::Elsewhere)
        }
    }
}

fn ends(headers: &Headers) -> Option<(IpAddr, IpAddr)> {
    let family = headers.ip_family()?;
    Some((headers.source.to_ip(family), headers.destination.to_ip(family)))
}
