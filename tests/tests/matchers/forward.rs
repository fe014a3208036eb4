//! Forwarded traffic: both addresses are somebody else's.

use firewall_common::{counters::Hook, wire::tcp::SYN};
use firewall_tests::{
    frames::{Packet, Segment},
    host::end,
};

use crate::matcher::Host;

const RULES: &str = r#"
[forwarded]
networks = ["10.0.7.0/24", "fd00:7::/64"]

[[rule]]
name = "published"
VERDICT = "tcp/8080"
forward = true
from = ["10.0.0.2", "fd00::2"]
to = ["10.0.7.4/31", "fd00:7::4/127"]

[[rule]]
name = "fetches"
VERDICT = "tcp/443"
forward = true
from = ["10.0.7.4", "fd00:7::4"]
to = ["10.0.0.128/25", "fd00::80/121"]
"#;

fn syn(source: &str, destination: &str, port: u16) -> Vec<u8> {
    let [source, destination] = [source, destination].map(|text| text.parse().expect("an address"));
    Packet::tcp(end(source, 40_000), end(destination, port), &Segment::new(SYN)).frame()
}

#[test]
fn s70_source_and_destination_of_forwarded_packets() {
    for (key, verdict) in [("allow", "pass"), ("drop", "drop"), ("reject", "reject")] {
        let host = Host::new(&RULES.replace("VERDICT", key));
        let published = format!("{verdict} rule published");
        let fetches = format!("{verdict} rule fetches");
        let check = |source: &str, destination: &str, port, hook, expected: &str| {
            host.engine.clear_flows();
            let told = host.frame(&syn(source, destination, port), hook);
            assert_eq!(told, expected, "{source} to {destination}");
        };
        for [client, other, behind, last, before, after] in [
            [
                "10.0.0.2", "10.0.0.3", "10.0.7.4", "10.0.7.5", "10.0.7.3", "10.0.7.6",
            ],
            [
                "fd00::2",
                "fd00::3",
                "fd00:7::4",
                "fd00:7::5",
                "fd00:7::3",
                "fd00:7::6",
            ],
        ] {
            check(client, behind, 8080, Hook::Ingress, &published);
            check(client, last, 8080, Hook::Ingress, &published);
            for (source, destination, port) in [
                (client, before, 8080),
                (client, after, 8080),
                (other, behind, 8080),
                (client, behind, 8081),
            ] {
                check(source, destination, port, Hook::Ingress, "drop default");
            }
        }
        for [behind, other, first, last, before] in [
            ["10.0.7.4", "10.0.7.5", "10.0.0.128", "10.0.0.255", "10.0.0.127"],
            ["fd00:7::4", "fd00:7::5", "fd00::80", "fd00::ff", "fd00::7f"],
        ] {
            check(behind, first, 443, Hook::Egress, &fetches);
            check(behind, last, 443, Hook::Egress, &fetches);
            check(behind, before, 443, Hook::Egress, "drop default");
            check(other, first, 443, Hook::Egress, "drop default");
        }
    }
}

#[test]
fn what_is_not_declared_is_judged_as_this_hosts() {
    let host = Host::new(&RULES.replace("VERDICT", "allow"));
    let elsewhere = syn("10.0.0.2", "10.0.8.4", 8080);
    assert_eq!(host.frame(&elsewhere, Hook::Ingress), "drop default");
    assert_eq!(
        host.frame(&syn("10.0.8.4", "10.0.0.128", 443), Hook::Egress),
        "reject default",
        "the default of what goes out, not of what is forwarded"
    );
}
