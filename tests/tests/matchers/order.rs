//! The first rule that matches decides, whichever dimension tells it from the next one.

use firewall_tests::engine::Interface;

use crate::{
    matcher::{Host, judged},
    probe::{Payload, Probe, Way},
};

const RULES: &str = r#"
[[rule]]
name = "host"
drop = "tcp/443"
WHO = ["10.0.0.2", "fd00::2"]

[[rule]]
name = "network"
reject = "tcp/443"
WHO = ["10.0.0.0/24", "fd00::/64"]

[[rule]]
name = "vlan"
allow = "tcp/443"
WHO = "any"
vlan = 10

[[rule]]
name = "interface"
drop = "tcp/443"
WHO = "any"
interface = "eth1"

[[rule]]
name = "ports"
allow = "tcp/400-500"
WHO = "any"

[[rule]]
name = "rest"
reject = "any"
WHO = "any"
"#;

#[test]
fn s70_the_first_that_matches_decides() {
    for (way, who) in [(Way::In, "from"), (Way::Out, "to")] {
        let host = Host::new(&RULES.replace("WHO", who));
        for [first, near, far] in [
            ["10.0.0.2", "10.0.0.3", "10.0.1.0"],
            ["fd00::2", "fd00::3", "fd00:0:0:1::"],
        ] {
            for (probe, expected) in [
                (Probe::with(first), "drop rule host"),
                (
                    Probe::with(first).tagged(&[10]).on(Interface::Eth1),
                    "drop rule host",
                ),
                (Probe::with(near), "reject rule network"),
                (Probe::with(near).tagged(&[10]), "reject rule network"),
                (
                    Probe::with(far).tagged(&[10]).on(Interface::Eth1),
                    "pass rule vlan",
                ),
                (
                    Probe::with(far).tagged(&[11]).on(Interface::Eth1),
                    "drop rule interface",
                ),
                (Probe::with(far), "pass rule ports"),
                (Probe::with(far).destination(400), "pass rule ports"),
                (Probe::with(far).destination(399), "reject rule rest"),
                (Probe::with(first).destination(501), "reject rule rest"),
                (Probe::new(first, Payload::Udp), "reject rule rest"),
            ] {
                assert_eq!(judged(&host, &probe, way), expected, "{way:?} {probe:?}");
            }
        }
    }
}
