//! The interface, by name and by pattern.

use firewall_tests::engine::Interface;

use crate::{
    matcher::Matcher,
    probe::{Probe, both_families},
};

fn on(interfaces: &[Interface]) -> Vec<Probe> {
    let each = interfaces.iter();
    each.flat_map(|interface| both_families(|remote| Probe::with(remote).on(*interface)))
        .collect()
}

#[test]
fn an_interface_by_name() {
    Matcher {
        rule: "VERDICT = \"tcp/443\"\ninterface = \"eth1\"\nWHO = \"any\"",
        hits: on(&[Interface::Eth1]),
        misses: on(&[Interface::Eth0, Interface::Tunnel, Interface::Unnamed]),
    }
    .check();
}

#[test]
fn interfaces_by_pattern() {
    for rule in [
        "VERDICT = \"tcp/443\"\ninterface = \"eth*\"\nWHO = \"any\"",
        "VERDICT = \"tcp/443\"\ninterface = \"eth?\"\nWHO = \"any\"",
        "VERDICT = \"tcp/443\"\ninterface = [\"eth0\", \"?th1\"]\nWHO = \"any\"",
    ] {
        Matcher {
            rule,
            hits: on(&[Interface::Eth0, Interface::Eth1]),
            misses: on(&[Interface::Tunnel, Interface::Unnamed]),
        }
        .check();
    }
}

#[test]
fn a_device_without_a_link_level_header() {
    Matcher {
        rule: "VERDICT = \"tcp/443\"\ninterface = \"tun*\"\nWHO = \"any\"",
        hits: on(&[Interface::Tunnel]),
        misses: on(&[Interface::Eth0, Interface::Eth1, Interface::Unnamed]),
    }
    .check();
}

#[test]
fn a_rule_without_interfaces_is_for_all() {
    Matcher {
        rule: "VERDICT = \"tcp/443\"\nWHO = \"any\"",
        hits: on(&[
            Interface::Eth0,
            Interface::Eth1,
            Interface::Tunnel,
            Interface::Unnamed,
        ]),
        misses: both_families(|remote| Probe::with(remote).destination(80).on(Interface::Tunnel)),
    }
    .check();
}
