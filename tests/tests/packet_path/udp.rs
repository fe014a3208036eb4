//! UDP, UDP-Lite and the protocols that have no ports.

use firewall_agent::dataplane::FlowTable;
use firewall_common::flow::State;
use firewall_tests::{
    engine::Engine,
    frames::Packet,
    host::{Net, end, nets},
};

use crate::Host;

const RULES: &str = r#"
[[rule]]
name = "ask"
allow = "udp/5000-6000"
to = ["10.0.0.2", "fd00::2"]

[[rule]]
name = "serve"
allow = "udp/7000"
from = "any"

[[rule]]
name = "tunnel"
allow = "gre"
from = ["10.0.0.2", "fd00::2"]
"#;

/// This host asks the client.
fn question(net: Net) -> Packet {
    Packet::udp(end(net.server, 40_000), end(net.client, 5353), 30)
}

fn answer(net: Net) -> Packet {
    Packet::udp(end(net.client, 5353), end(net.server, 40_000), 60)
}

#[test]
fn s21_reply_to_an_outbound_datagram_passes() {
    for net in nets() {
        let host = Host::new(RULES);
        assert_eq!(host.incoming(&answer(net)), "drop default", "nobody asked");
        assert_eq!(host.outgoing(&question(net)), "pass rule ask");
        assert_eq!(host.incoming(&answer(net)), "pass flow ask");
        let other_port = Packet::udp(end(net.client, 5354), end(net.server, 40_000), 60);
        assert_eq!(host.incoming(&other_port), "drop default");
        let other_host = Packet::udp(end(net.other, 5353), end(net.server, 40_000), 60);
        assert_eq!(host.incoming(&other_host), "drop default");
        let other_local_port = Packet::udp(end(net.client, 5353), end(net.server, 40_001), 60);
        assert_eq!(host.incoming(&other_local_port), "drop default");
    }
}

#[test]
fn s22_unreplied_for_two_minutes() {
    for net in nets() {
        let mut host = Host::new(RULES);
        assert_eq!(host.outgoing(&question(net)), "pass rule ask");
        host.wait(119);
        assert_eq!(host.incoming(&answer(net)), "pass flow ask");

        let mut host = Host::new(RULES);
        assert_eq!(host.outgoing(&question(net)), "pass rule ask");
        host.wait(121);
        assert_eq!(host.incoming(&answer(net)), "drop default");
    }
}

#[test]
fn s22_replied_for_five_minutes() {
    for net in nets() {
        let mut host = Host::new(RULES);
        assert_eq!(host.outgoing(&question(net)), "pass rule ask");
        assert_eq!(host.incoming(&answer(net)), "pass flow ask");
        assert_eq!(host.states(), [State::Replied]);
        host.wait(299);
        assert_eq!(host.incoming(&answer(net)), "pass flow ask");
        host.wait(301);
        assert_eq!(host.incoming(&answer(net)), "drop default");
        assert_eq!(
            host.outgoing(&question(net)),
            "pass rule ask",
            "a new flow of the same ends"
        );
        assert_eq!(host.incoming(&answer(net)), "pass flow ask");
    }
}

#[test]
fn s22_every_packet_keeps_an_assured_flow_alive() {
    for net in nets() {
        let mut host = Host::new(RULES);
        assert_eq!(host.outgoing(&question(net)), "pass rule ask");
        for _ in 0..5 {
            host.wait(100);
            assert_eq!(host.incoming(&answer(net)), "pass flow ask");
            host.wait(250);
            assert_eq!(host.outgoing(&question(net)), "pass flow ask");
        }
        host.wait(301);
        assert_eq!(host.incoming(&answer(net)), "drop default");
    }
}

#[test]
fn one_spoofed_datagram_assures_no_flow() {
    for net in nets() {
        let host = Host::new(RULES);
        let ask = Packet::udp(end(net.other, 9), end(net.server, 7000), 10);
        let reply = Packet::udp(end(net.server, 7000), end(net.other, 9), 10);
        assert_eq!(host.incoming(&ask), "pass rule serve");
        assert_eq!(host.incoming(&ask), "pass flow serve");
        assert_eq!(host.outgoing(&reply), "pass flow serve");
        assert_eq!(host.engine.flows(FlowTable::Assured), []);
        assert_eq!(host.incoming(&ask), "pass flow serve");
        assert_eq!(
            host.engine.flows(FlowTable::Assured),
            [State::Replied],
            "the opener has seen the reply"
        );
        assert_eq!(host.engine.flows(FlowTable::Half), []);
        assert_eq!(host.outgoing(&reply), "pass flow serve");
    }
}

#[test]
fn s23_udp_lite_does_not_match_a_udp_flow() {
    for net in nets() {
        let host = Host::new(RULES);
        assert_eq!(host.outgoing(&question(net)), "pass rule ask");
        let lite = Packet::udp_lite(end(net.client, 5353), end(net.server, 40_000), 60);
        assert_eq!(host.incoming(&lite), "drop default");
        assert_eq!(host.incoming(&answer(net)), "pass flow ask");
    }
}

#[test]
fn s23_udp_lite_has_flows_of_its_own() {
    for net in nets() {
        let host = Host::new("[[rule]]\nname = \"lite\"\nallow = \"udplite/5353\"\nto = \"any\"\n");
        let ask = Packet::udp_lite(end(net.server, 40_000), end(net.client, 5353), 60);
        assert_eq!(host.outgoing(&ask), "pass rule lite");
        assert_eq!(host.outgoing(&question(net)), "reject default");
        let lite = Packet::udp_lite(end(net.client, 5353), end(net.server, 40_000), 60);
        assert_eq!(host.incoming(&lite), "pass flow lite");
        assert_eq!(host.incoming(&answer(net)), "drop default");
    }
}

#[test]
fn other_protocols_go_by_their_addresses() {
    for net in nets() {
        let mut host = Host::new(RULES);
        let from = |source, destination| Packet::new(source, destination, 47, vec![0; 8]);
        assert_eq!(host.outgoing(&from(net.server, net.client)), "reject default");
        assert_eq!(host.incoming(&from(net.other, net.server)), "drop default");
        host.wait(3);
        assert_eq!(host.incoming(&from(net.client, net.server)), "pass rule tunnel");
        assert_eq!(host.outgoing(&from(net.server, net.client)), "pass flow tunnel");
        assert_eq!(host.outgoing(&from(net.server, net.other)), "reject default");
        host.wait(599);
        assert_eq!(host.outgoing(&from(net.server, net.client)), "pass flow tunnel");
        host.wait(601);
        assert_eq!(host.outgoing(&from(net.server, net.client)), "reject default");
    }
}

#[test]
fn s03_the_refusal_of_a_datagram_comes_in() {
    for net in nets() {
        let mut host = Host::new(RULES);
        let denied = Packet::udp(end(net.server, 40_000), end(net.client, 99), 10);
        let refusal = Packet::icmp_error(net.client, net.server, (3, 13), (1, 1), &denied);
        assert_eq!(host.incoming(&refusal), "drop icmp-unrelated");
        assert_eq!(host.outgoing(&denied), "reject default");
        assert_eq!(host.incoming(&refusal), "pass related-icmp");
        host.wait(3);
        assert_eq!(host.incoming(&refusal), "drop icmp-unrelated");
    }
}

#[test]
fn s03_nothing_but_the_refusal_comes_in_for_a_refused_datagram() {
    for net in nets() {
        let host = Host::new(RULES);
        let denied = Packet::udp(end(net.server, 40_000), end(net.client, 99), 10);
        let datagram = Packet::udp(end(net.client, 99), end(net.server, 40_000), 10);
        assert_eq!(host.outgoing(&denied), "reject default");
        assert_eq!(host.incoming(&datagram), "drop default");
    }
}

#[test]
fn a_refused_datagram_that_new_rules_allow_has_a_whole_flow() {
    for net in nets() {
        let mut host = Host::new(RULES);
        let packet = Packet::udp(end(net.server, 40_000), end(net.client, 99), 10);
        let reply = Packet::udp(end(net.client, 99), end(net.server, 40_000), 10);
        assert_eq!(host.outgoing(&packet), "reject default");
        host.replace("[[rule]]\nname = \"new\"\nallow = \"udp/99\"\nto = \"any\"\n");
        assert_eq!(host.outgoing(&packet), "pass rule new");
        host.wait(100);
        assert_eq!(host.incoming(&reply), "pass flow new");
    }
}

#[test]
fn a_jumbo_frame_is_judged_by_its_headers() {
    for net in nets() {
        let host = Host::new(RULES);
        // More than a page: a driver hands it on in several buffers.
        let jumbo = |port| Packet::udp(end(net.client, 40_000), end(net.server, port), 8900);
        assert_eq!(host.incoming(&jumbo(7000)), "pass rule serve");
        assert_eq!(host.incoming(&jumbo(7000)), "pass flow serve");
        assert_eq!(host.incoming(&jumbo(7001)), "drop default");
    }
}
