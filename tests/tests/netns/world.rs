//! The suite's network: a host behind the firewall, a neighbour on its link that is also its router, and a peer beyond.
//!
//! ```text
//! host eth0 10.0.0.1 ── r0 10.0.0.4 neighbour r1 10.0.1.1 ── eth0 10.0.1.2 peer
//! ```
//!
//! The neighbour is several others of [`firewall_tests::host::nets`], too.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use firewall_common::{counters::Hook, reason::Reason};
use firewall_tests::{
    netns::{NetNs, output},
    tiny::{self, Attached},
    worker::Worker,
};
use nix::net::if_::if_nametoindex;

use crate::firewall::{Firewall, Since};

pub(crate) const PEER_V4: &str = "10.0.1.2";
pub(crate) const PEER_V6: &str = "fd00:0:0:1::2";

static WORLD: OnceLock<Mutex<World>> = OnceLock::new();

/// The namespaces and the firewall.
pub(crate) struct World {
    pub(crate) host: NetNs,
    pub(crate) neighbour: NetNs,
    pub(crate) peer: NetNs,
    pub(crate) firewall: Worker<Firewall>,
    /// Has the neighbour take the answers of the firewall's XDP program.
    _taking: Attached,
}

/// The world, with a policy in force.
pub(crate) struct Scene {
    world: MutexGuard<'static, World>,
    since: &'static Since,
}

impl std::ops::Deref for Scene {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Scene {
    /// Puts rules in force, on a host without flows. One test at a time has the world.
    pub(crate) fn of(rules: &str) -> Self {
        let world = WORLD.get_or_init(|| Mutex::new(World::new()));
        let world = world.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = rules.to_owned();
        let since = world.firewall.run(move |firewall| firewall.enforce(&rules));
        Self {
            world,
            // A few hundred bytes for each test, so that jobs of another thread can look at it.
            since: Box::leak(Box::new(since)),
        }
    }

    /// Puts other rules in force; flows go on under them.
    pub(crate) fn switch(&self, rules: &str) {
        let rules = rules.to_owned();
        self.firewall.run(move |firewall| firewall.switch(&rules));
    }

    /// Packets that a rule has decided about since the scene began, those of its flows included.
    pub(crate) fn by_rule(&self, rule: &'static str) -> u64 {
        let since = self.since;
        self.firewall.run(move |firewall| firewall.by_rule(since, rule).0)
    }

    /// Packets that a rule was evaluated for and matched.
    pub(crate) fn matched(&self, rule: &'static str) -> u64 {
        let since = self.since;
        self.firewall.run(move |firewall| firewall.by_rule(since, rule).1)
    }

    /// Incoming packets that a reason has decided about.
    pub(crate) fn incoming_by(&self, reason: Reason) -> u64 {
        let since = self.since;
        self.firewall
            .run(move |firewall| firewall.by_reason(since, Hook::Ingress, reason))
    }

    /// Outgoing packets that a reason has decided about.
    pub(crate) fn outgoing_by(&self, reason: Reason) -> u64 {
        let since = self.since;
        self.firewall
            .run(move |firewall| firewall.by_reason(since, Hook::Egress, reason))
    }
}

impl World {
    fn new() -> Self {
        let unnamed = || NetNs::unnamed().expect("root may make namespaces");
        let (host, neighbour, peer) = (unnamed(), unnamed(), unnamed());
        join(&host, "eth0", &neighbour, "r0");
        join(&neighbour, "r1", &peer, "eth0");
        for (namespace, interface, addresses) in [
            (&host, "eth0", &["10.0.0.1/24", "fd00::1/64"][..]),
            (
                &neighbour,
                "r0",
                &[
                    "10.0.0.4/24",
                    "10.0.0.2/24",
                    "10.0.0.3/24",
                    "10.0.0.9/24",
                    "10.0.0.53/24",
                    "fd00::4/64",
                    "fd00::2/64",
                    "fd00::3/64",
                    "fd00::9/64",
                    "fd00::53/64",
                ],
            ),
            (&neighbour, "r1", &["10.0.1.1/24", "fd00:0:0:1::1/64"]),
            (&peer, "eth0", &["10.0.1.2/24", "fd00:0:0:1::2/64"]),
        ] {
            for address in addresses {
                namespace.address(interface, address).expect("an address");
            }
        }
        for (namespace, routes) in [
            (
                &host,
                [
                    "route add default via 10.0.0.4",
                    "-6 route add default via fd00::4",
                ],
            ),
            (
                &peer,
                [
                    "route add default via 10.0.1.1",
                    "-6 route add default via fd00:0:0:1::1",
                ],
            ),
        ] {
            for route in routes {
                namespace.ip(route).expect("a route");
            }
        }
        for path in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            neighbour.sysctl(path, "1").expect("a router");
        }
        let taking = neighbour.run(|| {
            let index = if_nametoindex("r0").expect("an interface");
            tiny::pass_all(index).expect("root may load programs")
        });
        let inside = host.entrance();
        let firewall = Worker::spawn(move || {
            inside.enter();
            Firewall::new()
        });
        Self {
            host,
            neighbour,
            peer,
            firewall,
            _taking: taking,
        }
    }
}

/// Two interfaces whose frames are as [`firewall_tests::frames::frame`] makes them: the first one's address ends in 1.
fn join(one: &NetNs, interface: &str, other: &NetNs, other_interface: &str) {
    one.join(interface, other, other_interface)
        .expect("a pair of interfaces");
    for (namespace, interface, address) in [
        (one, interface, "02:00:00:00:00:01"),
        (other, other_interface, "02:00:00:00:00:02"),
    ] {
        namespace
            .ip(&format!("link set {interface} address {address}"))
            .expect("an address");
    }
}

/// Runs ethtool in a namespace.
pub(crate) fn ethtool(namespace: &NetNs, words: &str) {
    output(namespace.command("ethtool").args(words.split_whitespace())).expect("ethtool does it");
}
