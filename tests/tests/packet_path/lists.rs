//! Block lists of a policy.

use firewall_agent::prefix_set::{Change, Members, Prefix};
use firewall_common::{
    cell::Mode,
    wire::tcp::{ACK, SYN},
};
use firewall_tests::{
    engine::Engine as _,
    frames::{Packet, Segment},
    host::{Net, end, nets},
};
use std::net::IpAddr;

use crate::Host;

const WEB: &str = "[[rule]]\nname = \"web\"\nallow = \"tcp/443\"\nfrom = \"any\"\n\n[[rule]]\nname = \"ask\"\nallow = \"tcp/443\"\nto = \"any\"\n";

pub(crate) fn members(addresses: &[IpAddr]) -> Members {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for address in addresses {
        match address {
            IpAddr::V4(v4_one) => v4.push((v4_one.to_bits(), v4_one.to_bits())),
            IpAddr::V6(v6_one) => v6.push(Prefix::new(v6_one.to_bits(), 128)),
        }
    }
    Members::new(v4, v6)
}

/// Replaces what an address is: a member, or none.
fn change(address: IpAddr, is_member: bool) -> Change {
    match address {
        IpAddr::V4(v4) => {
            let address = v4.to_bits();
            Change::V4 {
                first: address,
                last: address,
                inside: is_member.then_some((address, address)).into_iter().collect(),
            }
        }
        IpAddr::V6(v6) => {
            let place = Prefix::new(v6.to_bits(), 128);
            Change::V6 {
                place,
                inside: is_member.then_some(place).into_iter().collect(),
            }
        }
    }
}

fn syn(from: IpAddr, net: Net) -> Packet {
    Packet::tcp(end(from, 40_000), end(net.server, 443), &Segment::new(SYN))
}

fn syn_to(to: IpAddr, net: Net) -> Packet {
    Packet::tcp(end(net.server, 40_000), end(to, 443), &Segment::new(SYN))
}

#[test]
fn a_listed_source_and_destination_are_dropped() {
    for net in nets() {
        let mut host = Host::new(WEB);
        assert_eq!(
            host.incoming(&syn(net.other, net)),
            "pass rule web",
            "nothing is listed yet"
        );
        host.load(1, WEB);
        host.engine.load_lists(1, &members(&[net.other]));
        assert_eq!(
            host.incoming(&syn(net.other, net)),
            "pass flow web",
            "the slot is not in force"
        );
        host.switch(1, Mode::Normal, None);
        assert_eq!(
            host.incoming(&syn(net.other, net)),
            "drop listed",
            "its flow is cut, too"
        );
        assert_eq!(host.outgoing(&syn_to(net.other, net)), "drop listed");
        assert_eq!(host.incoming(&syn(net.client, net)), "pass rule web");
        assert_eq!(host.outgoing(&syn_to(net.router, net)), "pass rule ask");
        host.switch(0, Mode::Normal, None);
        assert_eq!(
            host.incoming(&syn(net.other, net)),
            "pass rule web",
            "the other policy has no lists"
        );
    }
}

#[test]
fn the_failsafe_comes_before_the_lists() {
    for net in nets() {
        let mut host = Host::new("");
        host.engine.load_lists(0, &members(&[net.manager]));
        let login = |port| Packet::tcp(end(net.manager, 9), end(net.server, port), &Segment::new(SYN));
        assert_eq!(host.incoming(&login(22)), "pass failsafe-management");
        assert_eq!(host.incoming(&login(23)), "drop listed");
    }
}

#[test]
fn an_entry_cuts_live_flows_at_once_and_lets_go_again() {
    for net in nets() {
        for rules in [WEB, &format!("[options]\nkeep_live_flows = true\n{WEB}")] {
            let mut host = Host::new(rules);
            let from = |address, flags| {
                Packet::tcp(end(address, 40_000), end(net.server, 443), &Segment::new(flags))
            };
            let to = |address, flags| {
                Packet::tcp(end(net.server, 443), end(address, 40_000), &Segment::new(flags))
            };
            for address in [net.client, net.other] {
                assert_eq!(host.incoming(&from(address, SYN)), "pass rule web");
                assert_eq!(host.outgoing(&to(address, SYN | ACK)), "pass flow web");
                assert_eq!(host.incoming(&from(address, ACK)), "pass flow web");
            }
            host.engine.change_lists(0, &change(net.client, true));
            assert_eq!(host.outgoing(&to(net.client, ACK)), "drop listed");
            assert_eq!(host.incoming(&from(net.client, ACK)), "drop listed");
            assert_eq!(
                host.outgoing(&to(net.other, ACK)),
                "pass flow web",
                "judged again and kept"
            );
            host.engine.change_lists(0, &change(net.client, false));
            assert_eq!(
                host.incoming(&from(net.client, ACK)),
                "drop tcp-no-state",
                "its flow is gone"
            );
            assert_eq!(host.incoming(&from(net.client, SYN)), "pass rule web");
            assert_eq!(host.incoming(&from(net.other, ACK)), "pass flow web");
        }
    }
}

/// Each form in which the kernel finds members, at their edges.
#[test]
fn look_ups_agree_with_what_was_listed() {
    let base = 0x0b00_0000_u32;
    let mut ranges = vec![
        (base, base + 2),
        (base + 0xffff, base + 0x1_0002),
        (base + 0x2_0000, base + 0x3_ffff),
    ];
    for (network, (count, step, span)) in (4..).zip([
        (20, 900, 1),
        (14, 900, 300),
        (700, 60, 1),
        (400, 100, 70),
        (3000, 20, 9),
    ]) {
        let network = base + (network << 16);
        ranges.extend((0..count).map(|place| (network + place * step, network + place * step + span - 1)));
    }
    let site = 0x2001_0db8_u128 << 96;
    let mut prefixes: Vec<Prefix> = (0..300)
        .map(|number| Prefix::new(site | number << 80, 48 + (number % 81) as u8))
        .collect();
    prefixes.extend((0..200).map(|number| Prefix::new(site | 0xffff << 80 | number << 2, 127)));
    prefixes.push(Prefix::new(0x2400 << 112, 14));
    let members = Members::new(ranges.clone(), prefixes.clone());
    let mut host = Host::new(WEB);
    host.engine.load_lists(0, &members);
    let edges = ranges
        .iter()
        .flat_map(|range| [range.0 - 1, range.0, range.1, range.1 + 1]);
    let v4: Vec<u32> = edges.step_by(7).chain([base, base + 3, base + 0xffff]).collect();
    for address in v4 {
        let listed = ranges.iter().any(|range| (range.0..=range.1).contains(&address));
        assert_listed(
            &host,
            nets()[0],
            std::net::Ipv4Addr::from_bits(address).into(),
            listed,
        );
    }
    let edges = prefixes.iter().flat_map(|prefix| {
        [
            prefix.first() - 1,
            prefix.first(),
            prefix.last(),
            prefix.last() + 1,
        ]
    });
    let v6: Vec<u128> = edges
        .step_by(5)
        .chain([0x2403 << 112 | 9, 0x2404 << 112])
        .collect();
    for address in v6 {
        let listed = prefixes
            .iter()
            .any(|prefix| (prefix.first()..=prefix.last()).contains(&address));
        assert_listed(
            &host,
            nets()[1],
            std::net::Ipv6Addr::from_bits(address).into(),
            listed,
        );
    }
}

fn assert_listed(host: &Host, net: Net, address: IpAddr, listed: bool) {
    let expected = if listed { "drop listed" } else { "pass rule ask" };
    let found = host.outgoing(&syn_to(address, net));
    assert!(
        found == expected || (!listed && found == "pass flow ask"),
        "{address}: {found}"
    );
}
