//! Sets of addresses of both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{model::AddressSet, ranges};

/// IPv4 multicast, 224.0.0.0/4 (RFC 5771).
const IPV4_MULTICAST: IpNet = IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4));
/// IPv6 multicast, `ff00::/8` (RFC 4291 2.7).
const IPV6_MULTICAST: IpNet = IpNet::V6(ipnet::Ipv6Net::new_assert(
    Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0),
    8,
));

impl AddressSet {
    /// Every address of both families.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            v4: ranges::full(),
            v6: ranges::full(),
        }
    }

    /// Multicast of both families and the IPv4 limited broadcast: what reaches a host though it is nobody's address.
    #[must_use]
    pub fn group_addressed() -> Self {
        Self::from(IPV4_MULTICAST)
            .union(&Self::from(IPV6_MULTICAST))
            .union(&Self::from(IpAddr::V4(Ipv4Addr::BROADCAST)))
    }

    /// Whether no address is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether every address of both families is in it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        ranges::is_full(&self.v4) && ranges::is_full(&self.v6)
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: ranges::union(&self.v4, &other.v4),
            v6: ranges::union(&self.v6, &other.v6),
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            v4: ranges::intersection(&self.v4, &other.v4),
            v6: ranges::intersection(&self.v6, &other.v6),
        }
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self {
            v4: ranges::difference(&self.v4, &other.v4),
            v6: ranges::difference(&self.v6, &other.v6),
        }
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => ranges::contains(&self.v4, address.to_bits()),
            IpAddr::V6(address) => ranges::contains(&self.v6, address.to_bits()),
        }
    }

    /// The addresses `first..=last`; `None` if they are of different families or in the wrong order.
    #[must_use]
    pub fn between(first: IpAddr, last: IpAddr) -> Option<Self> {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => Some(Self {
                v4: vec![first.to_bits()..=last.to_bits()],
                v6: Vec::new(),
            }),
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => Some(Self {
                v4: Vec::new(),
                v6: vec![first.to_bits()..=last.to_bits()],
            }),
            _ => None,
        }
    }
}

impl From<IpAddr> for AddressSet {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self {
                v4: vec![address.to_bits()..=address.to_bits()],
                v6: Vec::new(),
            },
            IpAddr::V6(address) => Self {
                v4: Vec::new(),
                v6: vec![address.to_bits()..=address.to_bits()],
            },
        }
    }
}

impl From<IpNet> for AddressSet {
    fn from(network: IpNet) -> Self {
        match network {
            IpNet::V4(net) => Self {
                v4: vec![net.network().to_bits()..=net.broadcast().to_bits()],
                v6: Vec::new(),
            },
            IpNet::V6(net) => Self {
                v4: Vec::new(),
                v6: vec![net.network().to_bits()..=net.broadcast().to_bits()],
            },
        }
    }
}

impl FromIterator<Self> for AddressSet {
    fn from_iter<I: IntoIterator<Item = Self>>(sets: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for set in sets {
            v4.extend(set.v4);
            v6.extend(set.v6);
        }
        Self {
            v4: ranges::normalised(v4),
            v6: ranges::normalised(v6),
        }
    }
}

impl FromIterator<IpAddr> for AddressSet {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        addresses.into_iter().map(Self::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> AddressSet {
        AddressSet::from(text.parse::<IpNet>().expect("a network"))
    }

    #[test]
    fn a_network_holds_its_edges_and_no_more() {
        let set = net("10.1.0.0/16");
        for (address, inside) in [
            ("10.0.255.255", false),
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
        ] {
            assert_eq!(
                set.contains(address.parse().expect("an address")),
                inside,
                "{address}"
            );
        }
    }

    #[test]
    fn zero_prefixes_are_a_whole_family() {
        assert!(!net("0.0.0.0/0").is_everything());
        assert!(net("0.0.0.0/0").union(&net("::/0")).is_everything());
    }

    #[test]
    fn a_range_of_two_families_is_none() {
        let v4: IpAddr = Ipv4Addr::LOCALHOST.into();
        let v6: IpAddr = Ipv6Addr::LOCALHOST.into();
        assert_eq!(AddressSet::between(v4, v6), None);
        assert!(AddressSet::between(v4, v4).is_some());
    }
}
