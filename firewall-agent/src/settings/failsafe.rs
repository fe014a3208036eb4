//! Management access that no policy can take away.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::InterfaceGlob;
use crate::policy::model::{AddressSet, Failsafe};

/// Most management ports: the table image has room for so many.
pub(super) const MAX_MANAGEMENT_PORTS: usize = 4;

/// The port of SSH.
const SSH: u16 = 22;

/// Passes before any rule is looked at, without a flow, in both directions; DHCP of the host does so always.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailsafeSettings {
    /// Networks that may manage this host. A single address may be written without a prefix length.
    #[serde(deserialize_with = "networks")]
    pub management_sources: Vec<IpNet>,
    /// TCP ports on this host for management; one to four.
    #[serde(deserialize_with = "ports")]
    pub management_ports: Vec<u16>,
    /// Name servers that this host may always ask, over UDP and TCP port 53.
    #[serde(deserialize_with = "networks")]
    pub resolvers: Vec<IpNet>,
    /// Interfaces that are filtered while there is no policy to name any: at a first start with a policy that does
    /// not check. `lo` is never among them.
    pub interfaces: Vec<InterfaceGlob>,
}

impl Default for FailsafeSettings {
    fn default() -> Self {
        Self {
            management_sources: Vec::new(),
            management_ports: vec![SSH],
            resolvers: Vec::new(),
            interfaces: vec![InterfaceGlob::everything()],
        }
    }
}

impl FailsafeSettings {
    /// As the policy and the compiler take it.
    #[must_use]
    pub fn resolve(&self) -> Failsafe {
        Failsafe {
            management_sources: addresses(&self.management_sources),
            management_ports: self.management_ports.clone(),
            resolvers: addresses(&self.resolvers),
        }
    }
}

fn addresses(networks: &[IpNet]) -> AddressSet {
    networks
        .iter()
        .map(|network| AddressSet::from(*network))
        .collect()
}

/// Networks, or addresses that stand for themselves. Bits beyond the prefix are an error, since one of the two is then
/// not what was meant.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| network(text).map_err(D::Error::custom))
        .collect()
}

/// A network, or an address that stands for itself.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text
        .parse()
        .map_err(|_| format!("`{text}` is neither an address nor a network such as `192.0.2.0/24`"))?;
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(format!(
            "`{text}` has bits set beyond its prefix; the network is `{}`",
            network.trunc()
        ))
    }
}

fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let ports = Vec::<u16>::deserialize(deserializer)?;
    if ports.is_empty() || ports.len() > MAX_MANAGEMENT_PORTS {
        return Err(D::Error::custom(format!(
            "between 1 and {MAX_MANAGEMENT_PORTS} management ports are possible, not {}",
            ports.len()
        )));
    }
    if ports.contains(&0) {
        return Err(D::Error::custom(
            "port 0 is not a port that anything can listen on",
        ));
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_itself() {
        assert_eq!(
            network("192.0.2.1").map(|net| net.to_string()),
            Ok("192.0.2.1/32".into())
        );
        assert_eq!(
            network("fd00::/8").map(|net| net.to_string()),
            Ok("fd00::/8".into())
        );
    }

    #[test]
    fn bits_beyond_the_prefix_are_refused_with_the_network_that_was_meant() {
        assert!(network("192.0.2.1/24").is_err_and(|error| error.contains("192.0.2.0/24")));
        assert!(network("example.org").is_err());
    }
}
