//! ICMP and ICMPv6: errors by the flow that they quote, echo, redirects.

use std::net::IpAddr;

use firewall_common::{
    flow::State,
    wire::tcp::{ACK, SYN},
};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{Net, end, nets},
};

use crate::Host;

const RULES: &str = r#"
[[rule]]
name = "out"
allow = ["tcp/443", "udp/33434-33534", "ping"]
to = "any"

[[rule]]
name = "serve"
allow = "udp/7000"
from = "any"
"#;

/// Fragmentation needed, or packet too big: RFC 792, RFC 4443 3.2.
const TOO_BIG: [(u8, u8); 2] = [(3, 4), (2, 0)];
/// Port unreachable.
const PORT_UNREACHABLE: [(u8, u8); 2] = [(3, 3), (1, 4)];
/// Time exceeded.
const TIME_EXCEEDED: [(u8, u8); 2] = [(11, 0), (3, 0)];
/// Parameter problem.
const PARAMETER_PROBLEM: [(u8, u8); 2] = [(12, 0), (4, 0)];

fn error([v4, v6]: [(u8, u8); 2], reporter: IpAddr, destination: IpAddr, quoted: &Packet) -> Packet {
    Packet::icmp_error(reporter, destination, v4, v6, quoted)
}

/// Data of a connection that this host has opened.
fn sent(net: Net) -> Packet {
    let segment = Segment::new(ACK).sequence(1001).acknowledgement(2001).data(100);
    Packet::tcp(end(net.server, 40_000), end(net.client, 443), &segment)
}

fn connected(net: Net) -> Host {
    let host = Host::new(RULES);
    let out = |flags| {
        Packet::tcp(
            end(net.server, 40_000),
            end(net.client, 443),
            &Segment::new(flags),
        )
    };
    let back = Packet::tcp(
        end(net.client, 443),
        end(net.server, 40_000),
        &Segment::new(SYN | ACK),
    );
    assert_eq!(host.outgoing(&out(SYN)), "pass rule out");
    assert_eq!(host.incoming(&back), "pass flow out");
    assert_eq!(host.outgoing(&out(ACK)), "pass flow out");
    host
}

#[test]
fn s24_s25_packet_too_big_for_a_live_flow_passes() {
    for net in nets() {
        let host = connected(net);
        let too_big = error(TOO_BIG, net.router, net.server, &sent(net));
        assert_eq!(host.incoming(&too_big), "pass related-icmp");
        let of_another = Packet::tcp(end(net.server, 40_001), end(net.client, 443), &Segment::new(ACK));
        let too_big = error(TOO_BIG, net.router, net.server, &of_another);
        assert_eq!(host.incoming(&too_big), "drop icmp-unrelated");
    }
}

#[test]
fn s24_errors_of_a_half_open_flow_pass() {
    for net in nets() {
        let host = Host::new(RULES);
        let syn = Packet::tcp(end(net.server, 40_000), end(net.client, 443), &Segment::new(SYN));
        assert_eq!(host.outgoing(&syn), "pass rule out");
        let error = error(PORT_UNREACHABLE, net.router, net.server, &syn);
        assert_eq!(host.incoming(&error), "pass related-icmp");
    }
}

#[test]
fn s24_errors_pass_for_the_failsafe_which_has_no_flow() {
    for net in nets() {
        let host = Host::new(RULES);
        let managed = Packet::tcp(end(net.server, 22), end(net.manager, 50_000), &Segment::new(ACK));
        let too_big = error(TOO_BIG, net.router, net.server, &managed);
        assert_eq!(host.incoming(&too_big), "pass related-icmp");
        let not_managed = Packet::tcp(end(net.server, 22), end(net.client, 50_000), &Segment::new(ACK));
        let too_big = error(TOO_BIG, net.router, net.server, &not_managed);
        assert_eq!(host.incoming(&too_big), "drop icmp-unrelated");
    }
}

#[test]
fn s26_port_unreachable_for_a_live_udp_flow_passes() {
    for net in nets() {
        let host = Host::new(RULES);
        let probe = Packet::udp(end(net.server, 40_000), end(net.client, 33_434), 10);
        assert_eq!(host.outgoing(&probe), "pass rule out");
        let unreachable = error(PORT_UNREACHABLE, net.client, net.server, &probe);
        assert_eq!(host.incoming(&unreachable), "pass related-icmp");
    }
}

#[test]
fn s26_the_hosts_own_errors_go_out_for_what_was_let_in() {
    for net in nets() {
        let host = Host::new(RULES);
        let served = Packet::udp(end(net.client, 9), end(net.server, 7000), 10);
        let unreachable = error(PORT_UNREACHABLE, net.server, net.client, &served);
        assert_eq!(host.outgoing(&unreachable), "drop icmp-unrelated");
        assert_eq!(host.incoming(&served), "pass rule serve");
        assert_eq!(host.outgoing(&unreachable), "pass related-icmp");
    }
}

#[test]
fn s27_error_that_quotes_an_unknown_flow_is_dropped() {
    for net in nets() {
        let host = Host::new(RULES);
        for kind in [TOO_BIG, PORT_UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM] {
            let error = error(kind, net.router, net.server, &sent(net));
            assert_eq!(host.incoming(&error), "drop icmp-unrelated", "{kind:?}");
        }
    }
}

#[test]
fn s27_error_that_quotes_an_ended_flow_is_dropped() {
    for net in nets() {
        let mut host = Host::new(RULES);
        let probe = Packet::udp(end(net.server, 40_000), end(net.client, 33_434), 10);
        assert_eq!(host.outgoing(&probe), "pass rule out");
        host.wait(121);
        let error = error(PORT_UNREACHABLE, net.client, net.server, &probe);
        assert_eq!(host.incoming(&error), "drop icmp-unrelated");
    }
}

#[test]
fn s28_error_must_be_for_the_sender_of_what_it_quotes() {
    for net in nets() {
        let host = connected(net);
        let received = Packet::tcp(end(net.client, 443), end(net.server, 40_000), &Segment::new(ACK));
        // Quotes what the client sent to this host, but is addressed to this host.
        let turned = error(TOO_BIG, net.router, net.server, &received);
        assert_eq!(host.incoming(&turned), "drop icmp-unrelated");
        let misdirected = error(TOO_BIG, net.router, net.other, &sent(net));
        assert_eq!(host.incoming(&misdirected), "drop icmp-unrelated");
    }
}

#[test]
fn s29_quoted_header_cut_short() {
    for net in nets() {
        let host = connected(net);
        let whole = error(TOO_BIG, net.router, net.server, &sent(net));
        let header_bytes = if net.server.is_ipv4() { 20 } else { 40 };
        for quoted in [0, 1, header_bytes - 1, header_bytes, header_bytes + 7] {
            let cut = whole.clone().cut(8 + quoted);
            assert_eq!(host.incoming(&cut), "drop icmp-malformed-quote", "{quoted} bytes");
        }
        let enough = whole.clone().cut(8 + header_bytes + 8);
        assert_eq!(
            host.incoming(&enough),
            "pass related-icmp",
            "eight bytes of TCP are enough"
        );
        assert_eq!(host.incoming(&whole.cut(7)), "drop truncated-transport");
    }
}

#[test]
fn s29_quoted_options_are_skipped_and_must_fit() {
    let [net, _] = nets();
    let host = connected(net);
    let with_options = sent(net).options(&[1; 12]);
    let mut too_big = error(TOO_BIG, net.router, net.server, &with_options);
    assert_eq!(host.incoming(&too_big), "pass related-icmp");
    for (first_byte, why) in [
        (0x4f, "a header of 60 bytes"),
        (0x44, "of 16 bytes"),
        (0x65, "IPv6"),
    ] {
        let mut error = error(TOO_BIG, net.router, net.server, &with_options).cut(8 + 20 + 12 + 8);
        error.payload[8] = first_byte;
        assert_eq!(host.incoming(&error), "drop icmp-malformed-quote", "{why}");
    }
    // A quoted later fragment has no ports.
    too_big.payload[8 + 7] = 1;
    assert_eq!(host.incoming(&too_big), "drop icmp-malformed-quote");
}

#[test]
fn s29_quoted_extension_headers_are_walked() {
    let [_, net] = nets();
    let host = connected(net);
    let with_options = sent(net).extension(60, &[0, 1, 4, 0, 0, 0, 0]);
    let too_big = error(TOO_BIG, net.router, net.server, &with_options);
    assert_eq!(host.incoming(&too_big), "pass related-icmp");
    let mut overlong = too_big;
    overlong.payload[8 + 40 + 1] = 200;
    assert_eq!(host.incoming(&overlong), "drop icmp-malformed-quote");
}

#[test]
fn s30_forged_unreachable_changes_no_flow() {
    for net in nets() {
        let mut host = connected(net);
        for kind in [PORT_UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM] {
            let forged = error(kind, net.other, net.server, &sent(net));
            assert_eq!(host.incoming(&forged), "pass related-icmp");
        }
        assert_eq!(host.states(), [State::Established]);
        host.wait(24 * 3600 - 10);
        let forged = error(PORT_UNREACHABLE, net.other, net.server, &sent(net));
        assert_eq!(host.incoming(&forged), "pass related-icmp");
        host.wait(11);
        assert_eq!(
            host.outgoing(&sent(net)),
            "drop tcp-no-state",
            "no error keeps a flow alive"
        );
    }
}

#[test]
fn s31_time_exceeded_for_the_hosts_own_traceroute() {
    for net in nets() {
        let host = Host::new(RULES);
        for probe in [
            Packet::udp(end(net.server, 40_000), end(net.client, 33_434), 10).hop_limit(1),
            Packet::echo_request(net.server, net.client, 77).hop_limit(1),
        ] {
            let exceeded = error(TIME_EXCEEDED, net.router, net.server, &probe);
            assert_eq!(host.incoming(&exceeded), "drop icmp-unrelated");
            assert_eq!(host.outgoing(&probe), "pass rule out");
            assert_eq!(host.incoming(&exceeded), "pass related-icmp");
        }
    }
}

#[test]
fn errors_that_quote_errors_are_dropped() {
    for net in nets() {
        let host = connected(net);
        let error_of_this_host = error(TIME_EXCEEDED, net.server, net.client, &sent(net));
        let error = error(PORT_UNREACHABLE, net.router, net.server, &error_of_this_host);
        assert_eq!(host.incoming(&error), "drop icmp-unrelated");
    }
}

#[test]
fn s32_icmpv4_echo_only() {
    let [v4, v6] = nets();
    let host = Host::new("[[rule]]\nname = \"ping4\"\nallow = \"icmp/echo-request\"\nfrom = \"any\"\n");
    assert_eq!(
        host.incoming(&Packet::echo_request(v4.client, v4.server, 1)),
        "pass rule ping4"
    );
    assert_eq!(
        host.incoming(&Packet::echo_request(v6.client, v6.server, 1)),
        "drop default"
    );
}

#[test]
fn s33_two_clients_with_one_identifier() {
    for net in nets() {
        let host = Host::new("[[rule]]\nname = \"ping\"\nallow = \"ping\"\nfrom = \"any\"\n");
        for client in [net.client, net.other] {
            assert_eq!(
                host.incoming(&Packet::echo_request(client, net.server, 5)),
                "pass rule ping"
            );
        }
        for client in [net.client, net.other] {
            assert_eq!(
                host.outgoing(&Packet::echo_reply(net.server, client, 5)),
                "pass flow ping"
            );
        }
        assert_eq!(
            host.outgoing(&Packet::echo_reply(net.server, net.router, 5)),
            "drop echo-no-state"
        );
    }
}

#[test]
fn s33_two_hosts_that_ping_each_other_with_one_identifier() {
    for net in nets() {
        let mut host = Host::new(RULES);
        assert_eq!(
            host.outgoing(&Packet::echo_request(net.server, net.client, 5)),
            "pass rule out"
        );
        let their_request = Packet::echo_request(net.client, net.server, 5);
        assert_eq!(host.incoming(&their_request), "drop default", "it is no reply");
        assert_eq!(
            host.incoming(&Packet::echo_reply(net.client, net.server, 5)),
            "pass flow out"
        );
        host.replace(&format!(
            "{RULES}\n[[rule]]\nname = \"in\"\nallow = \"ping\"\nfrom = \"any\"\n"
        ));
        assert_eq!(host.incoming(&their_request), "pass rule in");
        assert_eq!(
            host.outgoing(&Packet::echo_reply(net.server, net.client, 5)),
            "pass flow in"
        );
    }
}

#[test]
fn s34_echo_replies() {
    for net in nets() {
        let mut host = Host::new(RULES);
        let reply = Packet::echo_reply(net.client, net.server, 5);
        assert_eq!(host.incoming(&reply), "drop echo-no-state");
        assert_eq!(
            host.outgoing(&Packet::echo_request(net.server, net.client, 5)),
            "pass rule out"
        );
        assert_eq!(
            host.incoming(&Packet::echo_reply(net.client, net.server, 6)),
            "drop echo-no-state"
        );
        host.wait(59);
        assert_eq!(host.incoming(&reply), "pass flow out");
        host.wait(61);
        assert_eq!(host.incoming(&reply), "drop echo-no-state");
    }
}

/// Lets redirects in, as far as rules can.
const ALLOWED: &str = r#"
[[rule]]
name = "redirects"
allow = ["icmp/redirect", "icmpv6/redirect"]
from = "any"
"#;

#[test]
fn s35_redirects() {
    let redirect = |net: Net| {
        let kind = if net.server.is_ipv4() { 5 } else { 137 };
        Packet::icmp(net.router, net.server, kind, 1, [0; 4], &[0; 40]).hop_limit(255)
    };
    for net in nets() {
        let host = Host::new(RULES);
        assert_eq!(host.incoming(&redirect(net)), "drop icmp-redirect");
        let host = Host::new(ALLOWED);
        assert_eq!(
            host.incoming(&redirect(net)),
            "drop icmp-redirect",
            "the option is off"
        );
        let host = Host::new(&format!("[options]\nallow_icmp_redirects = true\n{ALLOWED}"));
        assert_eq!(host.incoming(&redirect(net)), "pass rule redirects");
        let host = Host::new(&format!("[options]\nallow_icmp_redirects = true\n{RULES}"));
        assert_eq!(host.incoming(&redirect(net)), "drop default", "no rule allows it");
    }
}

#[test]
fn other_messages_are_left_to_the_rules() {
    let [net, _] = nets();
    let timestamp = Packet::icmp(net.client, net.server, 13, 0, [0; 4], &[0; 12]);
    assert_eq!(Host::new(RULES).incoming(&timestamp), "drop default");
    let host = Host::new("[[rule]]\nname = \"time\"\nallow = \"icmp/timestamp-request\"\nfrom = \"any\"\n");
    assert_eq!(host.incoming(&timestamp), "pass rule time");
    assert_eq!(host.states(), [], "a message other than echo has no flow");
}

#[test]
fn each_familys_icmp_in_the_other_is_dropped() {
    let [v4, v6] = nets();
    let host = Host::new("[[rule]]\nname = \"all\"\nallow = \"any\"\nfrom = \"any\"\n");
    let mut echo = Packet::echo_request(v4.client, v4.server, 1);
    echo.protocol = 58;
    assert_eq!(host.incoming(&echo), "drop icmp-family");
    let mut echo = Packet::echo_request(v6.client, v6.server, 1);
    echo.protocol = 1;
    assert_eq!(host.incoming(&echo), "drop icmp-family");
}

#[test]
fn s66_errors_of_a_flow_wait_until_the_new_policy_has_judged_it() {
    for net in nets() {
        let mut host = connected(net);
        let too_big = error(TOO_BIG, net.router, net.server, &sent(net));
        assert_eq!(host.incoming(&too_big), "pass related-icmp");
        host.replace(RULES);
        assert_eq!(host.incoming(&too_big), "drop icmp-unrelated");
        assert_eq!(host.outgoing(&sent(net)), "pass flow out");
        assert_eq!(host.incoming(&too_big), "pass related-icmp");
    }
}
