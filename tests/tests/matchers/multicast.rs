//! Multicast groups and the limited broadcast: they reach this host, too, so that they are destinations both ways.

use firewall_common::{counters::Hook, wire::protocol};
use firewall_tests::frames::Packet;

use crate::matcher::Host;

#[test]
fn a_group_is_incoming_and_one_address() {
    let host = Host::new(
        "[[rule]]\nname = \"vrrp\"\nallow = \"vrrp\"\nfrom = \"any\"\nto = [\"224.0.0.18\", \"ff02::12\"]\n",
    );
    for (source, groups) in [
        ("10.0.0.2", ["224.0.0.18", "224.0.0.17", "224.0.0.19", "10.0.0.1"]),
        ("fd00::2", ["ff02::12", "ff02::11", "ff02::13", "fd00::1"]),
    ] {
        for (number, group) in groups.into_iter().enumerate() {
            let (source, group) = (
                source.parse().expect("an address"),
                group.parse().expect("an address"),
            );
            let announcement = |protocol| Packet::new(source, group, protocol, vec![0; 20]).frame();
            let expected = if number == 0 {
                "pass rule vrrp/in"
            } else {
                "drop default"
            };
            assert_eq!(host.frame(&announcement(112), Hook::Ingress), expected, "{group}");
            assert_eq!(
                host.frame(&announcement(protocol::SCTP), Hook::Ingress),
                "drop default"
            );
            host.engine.clear_flows();
        }
        let own = if source == "10.0.0.2" {
            "10.0.0.1"
        } else {
            "fd00::1"
        };
        for (group, expected) in [(groups[0], "pass rule vrrp/out"), (groups[1], "reject default")] {
            let [own, group] = [own, group].map(|text| text.parse().expect("an address"));
            let announcement = Packet::new(own, group, 112, vec![0; 20]).frame();
            assert_eq!(host.frame(&announcement, Hook::Egress), expected, "{group}");
        }
    }
}

#[test]
fn the_limited_broadcast_is_incoming() {
    let host =
        Host::new("[[rule]]\nname = \"wake\"\nallow = \"udp/9\"\nfrom = \"any\"\nto = \"255.255.255.255\"\n");
    let datagram = |to: &str| {
        let to = format!("{to}:9").parse().expect("an end");
        Packet::udp("10.0.0.2:40000".parse().expect("an end"), to, 102).frame()
    };
    assert_eq!(
        host.frame(&datagram("255.255.255.255"), Hook::Ingress),
        "pass rule wake/in"
    );
    assert_eq!(
        host.frame(&datagram("255.255.255.254"), Hook::Ingress),
        "drop default"
    );
    assert_eq!(host.frame(&datagram("10.0.0.1"), Hook::Ingress), "drop default");
}
