//! Addresses as a rule names them: each one where they are few, networks where they are many.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Entries that a rule has at most.
const MOST: usize = 8;

/// Networks that addresses are put together to where there are more.
const V4_BITS: u8 = 24;
const V6_BITS: u8 = 64;

/// Addresses that a network has to have had at least to stand for them.
const LEAST: usize = 2;

/// What stands in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sources {
    pub(super) members: Vec<String>,
    /// What is in the members that was not seen.
    pub(super) notes: Vec<String>,
}

/// Addresses as few members. Whatever is wider than what was seen has a note.
pub(super) fn sources(addresses: &BTreeSet<IpAddr>, has_more: bool) -> Sources {
    let single: Vec<IpNet> = addresses.iter().copied().map(IpNet::from).collect();
    let exact = IpNet::aggregate(&single);
    if exact.len() <= MOST && !has_more {
        return Sources {
            members: exact.iter().map(member).collect(),
            notes: Vec::new(),
        };
    }
    let networks = by_network(addresses);
    if networks.len() <= MOST && !has_more {
        return by_few_networks(&networks);
    }
    let everybody = match (
        addresses.iter().any(IpAddr::is_ipv4),
        addresses.iter().any(IpAddr::is_ipv6),
    ) {
        (true, false) => "0.0.0.0/0",
        (false, true) => "::/0",
        _ => "any",
    };
    let samples: Vec<String> = networks.keys().take(3).map(ToString::to_string).collect();
    let note = format!(
        "WIDENED to {everybody}: seen were {} addresses in {} networks, such as {}",
        addresses.len(),
        networks.len(),
        samples.join(", ")
    );
    Sources {
        members: vec![everybody.to_owned()],
        notes: vec![note],
    }
}

fn by_network(addresses: &BTreeSet<IpAddr>) -> BTreeMap<IpNet, BTreeSet<IpAddr>> {
    let mut networks: BTreeMap<IpNet, BTreeSet<IpAddr>> = BTreeMap::new();
    for &address in addresses {
        // Both lengths are lengths of prefixes.
        let network = match address {
            IpAddr::V4(v4) => Ipv4Net::new(v4, V4_BITS).map(|network| IpNet::V4(network.trunc())),
            IpAddr::V6(v6) => Ipv6Net::new(v6, V6_BITS).map(|network| IpNet::V6(network.trunc())),
        };
        if let Ok(network) = network {
            networks.entry(network).or_default().insert(address);
        }
    }
    networks
}

fn by_few_networks(networks: &BTreeMap<IpNet, BTreeSet<IpAddr>>) -> Sources {
    let mut sources = Sources {
        members: Vec::new(),
        notes: Vec::new(),
    };
    for (network, addresses) in networks {
        if addresses.len() < LEAST {
            sources.members.extend(addresses.iter().map(ToString::to_string));
            continue;
        }
        sources.members.push(network.to_string());
        sources.notes.push(format!(
            "WIDENED to {network}: seen were {} of its addresses",
            addresses.len()
        ));
    }
    sources
}

/// A single address without its length.
fn member(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(addresses: impl IntoIterator<Item = String>) -> Sources {
        let addresses = addresses
            .into_iter()
            .map(|text| text.parse().expect("an address"));
        sources(&addresses.collect(), false)
    }

    #[test]
    fn few_addresses_stand_as_they_are_and_whole_networks_as_networks() {
        let few = of(["192.0.2.1", "2001:db8::1"].map(str::to_owned));
        assert_eq!(few.members, ["192.0.2.1", "2001:db8::1"]);
        let whole = of((0..16).map(|last| format!("192.0.2.{last}")));
        assert_eq!(whole.members, ["192.0.2.0/28"]);
        assert!(
            whole.notes.is_empty() && few.notes.is_empty(),
            "nothing is wider than was seen"
        );
    }

    #[test]
    fn what_is_wider_than_was_seen_says_so() {
        let spread = (0..20).map(|last| format!("192.0.2.{}", last * 7));
        let near = of(spread.chain(["198.51.100.7".to_owned()]));
        assert_eq!(near.members, ["192.0.2.0/24", "198.51.100.7"]);
        assert_eq!(
            near.notes,
            ["WIDENED to 192.0.2.0/24: seen were 20 of its addresses"]
        );
        let far = of((0..20).map(|third| format!("10.1.{third}.1")));
        assert_eq!(far.members, ["0.0.0.0/0"]);
        assert!(far.notes[0].starts_with("WIDENED to 0.0.0.0/0: seen were 20 addresses in 20 networks"));
        let both = of((0..20).flat_map(|one| [format!("10.1.{one}.1"), format!("2001:db8:{one}::1")]));
        assert_eq!(both.members, ["any"]);
    }
}
