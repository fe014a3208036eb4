//! The lab's hosts, their addresses, and the router that joins their subnets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};

use super::netns::Namespace;

/// The namespace that joins all subnets.
pub(crate) const ROUTER: Namespace = Namespace::of("router");

/// The load balancer: HAProxy.
pub(crate) const LB: Host = Host::inside("lb", 1);
/// The web server: nginx and the application.
pub(crate) const WEB: Host = Host::inside("web", 2);
/// The database server: MariaDB.
pub(crate) const DB: Host = Host::inside("db", 3);
/// The monitoring server: Prometheus.
pub(crate) const MONITOR: Host = Host::inside("monitor", 4);
/// An administrator's machine in the management network.
pub(crate) const ADMIN: Host = Host::inside("admin", 9);
/// A customer somewhere on the internet (RFC 5737, RFC 3849).
pub(crate) const CLIENT: Host = Host {
    name: "client",
    v4: Ipv4Addr::new(198, 51, 100, 10),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x10),
};
/// Someone else on the internet (RFC 5737, RFC 3849).
pub(crate) const ATTACKER: Host = Host {
    name: "attacker",
    v4: Ipv4Addr::new(203, 0, 113, 66),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0x66),
};

/// The hosts that run the agent.
pub(crate) const SERVERS: [Host; 3] = [LB, WEB, DB];
/// Every host.
pub(crate) const HOSTS: [Host; 7] = [LB, WEB, DB, MONITOR, ADMIN, CLIENT, ATTACKER];

/// A host with one interface, `eth0`, on a subnet of its own (/24 and /64) whose first address is the router's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its name, also the name of the router's interface towards it.
    pub(crate) name: &'static str,
    /// Its IPv4 address.
    pub(crate) v4: Ipv4Addr,
    /// Its IPv6 address.
    pub(crate) v6: Ipv6Addr,
}

impl Host {
    /// A host of the company, in `10.77.NET.0/24` and `fd77:NET::/64`.
    const fn inside(name: &'static str, net: u8) -> Self {
        Self {
            name,
            v4: Ipv4Addr::new(10, 77, net, 10),
            v6: Ipv6Addr::new(0xfd77, net as u16, 0, 0, 0, 0, 0, 0x10),
        }
    }

    /// The namespace that it lives in.
    pub(crate) const fn namespace(self) -> Namespace {
        Namespace::of(self.name)
    }

    /// The name of a server in the shipped inventory, `rules/inventory.toml`.
    pub(crate) fn inventory_name(self) -> String {
        format!("{}-1", self.name)
    }

    /// Both of its addresses.
    pub(crate) fn addresses(self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// The router's addresses on its subnet.
    fn gateways(self) -> (Ipv4Addr, Ipv6Addr) {
        let [a, b, c, _] = self.v4.octets();
        let mut v6 = self.v6.segments();
        v6[7] = 1;
        (Ipv4Addr::new(a, b, c, 1), v6.into())
    }

    /// Makes its namespace and joins it to the router.
    fn connect(self) -> Result<()> {
        let (gateway4, gateway6) = self.gateways();
        let namespace = self.namespace();
        namespace.create()?;
        at_once(namespace)?;
        let (host, router) = (namespace.name(), ROUTER.name());
        ROUTER.ip(&format!(
            "link add {} type veth peer name eth0 netns {host}",
            self.name
        ))?;
        // A frame that an XDP program sends out of a veth arrives only if the other end polls (NAPI), which generic
        // receive offload switches on (drivers/net/veth.c, veth_xdp_xmit).
        ethtool(ROUTER, self.name).with_context(|| format!("in {router}"))?;
        for (place, link, v4, v6) in [
            (ROUTER, self.name, gateway4, gateway6),
            (namespace, "eth0", self.v4, self.v6),
        ] {
            place.ip(&format!("address add {v4}/24 dev {link}"))?;
            place.ip(&format!("address add {v6}/64 dev {link} nodad"))?;
            place.ip(&format!("link set {link} up"))?;
        }
        namespace.ip(&format!("-4 route add default via {gateway4}"))?;
        namespace.ip(&format!("-6 route add default via {gateway6}"))
    }
}

/// Lets addresses be used as soon as they are there. Until a link-local address has been probed for duplicates, for up to
/// two seconds, a router asks for no neighbour (RFC 4862 5.4, net/ipv6/ndisc.c, `ndisc_send_ns`), and forwards nothing.
fn at_once(namespace: Namespace) -> Result<()> {
    namespace.sysctl("net.ipv6.conf.default.accept_dad=0")
}

fn ethtool(namespace: Namespace, link: &str) -> Result<()> {
    crate::process::output(namespace.command("ethtool").args(["-K", link, "gro", "on"]))?;
    Ok(())
}

/// Makes all namespaces and joins them.
pub(crate) fn up() -> Result<()> {
    ROUTER.create()?;
    at_once(ROUTER)?;
    ROUTER.sysctl("net.ipv4.ip_forward=1")?;
    ROUTER.sysctl("net.ipv6.conf.all.forwarding=1")?;
    for host in HOSTS {
        host.connect()
            .with_context(|| format!("joining {} to the router", host.name))?;
    }
    Ok(())
}

/// Removes all namespaces.
pub(crate) fn down() -> Result<()> {
    for host in HOSTS {
        host.namespace().delete()?;
    }
    ROUTER.delete()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_the_first_addresses() {
        assert_eq!(
            DB.gateways(),
            (Ipv4Addr::new(10, 77, 3, 1), "fd77:3::1".parse().unwrap())
        );
        assert_eq!(
            ATTACKER.gateways().1,
            "2001:db8:bad::1".parse::<Ipv6Addr>().unwrap()
        );
    }

    #[test]
    fn addresses_are_those_of_the_shipped_inventory() {
        let inventory = include_str!("../../../rules/inventory.toml");
        for host in [LB, WEB, DB, MONITOR] {
            let (_, entry) = inventory
                .split_once(&format!("[hosts.{}]", host.inventory_name()))
                .unwrap();
            let addresses = format!("addresses = [\"{}\", \"{}\"]", host.v4, host.v6);
            assert!(
                entry.split("[hosts.").next().unwrap().contains(&addresses),
                "{addresses}"
            );
        }
        assert!(inventory.contains("management = [\"10.77.9.0/24\", \"fd77:9::/64\"]"));
    }

    #[test]
    fn no_two_hosts_share_a_name_or_a_subnet() {
        for (index, one) in HOSTS.iter().enumerate() {
            for other in &HOSTS[index + 1..] {
                assert_ne!(one.name, other.name);
                assert_ne!(one.gateways().0, other.gateways().0);
                assert_ne!(one.gateways().1, other.gateways().1);
            }
        }
    }
}
