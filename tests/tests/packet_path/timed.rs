//! Rules that end by themselves, and the flows that they have let in.

use firewall_common::wire::tcp::{ACK, SYN};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{Net, end, nets},
};

use crate::Host;

const WEB: &str = r#"
[[rule]]
name = "web"
allow = "tcp/443"
from = "any"
"#;

/// Behind everything, for a minute.
const DEBUG: &str = r#"
[[rule]]
name = "debug"
allow = "tcp/8080"
from = "any"
since = 2030-01-01T12:00:00Z
expires = 2030-01-01T12:01:00Z
"#;

/// Before the rule of [`WEB`], for a minute and for two.
const BEFORE_WEB: &str = r#"
[[rule]]
name = "early"
allow = "tcp/443"
from = "any"
before = "web"
since = 2030-01-01T12:00:00Z
expires = 2030-01-01T12:01:00Z

[[rule]]
name = "later"
allow = "tcp/443"
from = "any"
before = "web"
since = 2030-01-01T12:00:00Z
expires = 2030-01-01T12:02:00Z
"#;

const SHUT: &str = r#"
[[rule]]
name = "shut"
drop = "tcp/443"
from = "any"
before = "web"
since = 2030-01-01T12:00:00Z
expires = 2030-01-01T12:01:00Z
"#;

fn to_server(net: Net, port: u16, flags: u8) -> Packet {
    Packet::tcp(
        end(net.client, 40_000),
        end(net.server, port),
        &Segment::new(flags),
    )
}

fn to_client(net: Net, port: u16, flags: u8) -> Packet {
    Packet::tcp(
        end(net.server, port),
        end(net.client, 40_000),
        &Segment::new(flags),
    )
}

fn connect(host: &Host, net: Net, port: u16, rule: &str) {
    assert_eq!(
        host.incoming(&to_server(net, port, SYN)),
        format!("pass rule {rule}")
    );
    let flow = format!("pass flow {rule}");
    assert_eq!(host.outgoing(&to_client(net, port, SYN | ACK)), flow);
    assert_eq!(host.incoming(&to_server(net, port, ACK)), flow);
}

#[test]
fn a_rule_ends_on_time_together_with_the_flows_that_it_has_let_in() {
    for net in nets() {
        let mut host = Host::with_timed(WEB, DEBUG);
        connect(&host, net, 8080, "debug");
        connect(&host, net, 443, "web");
        host.wait(58);
        assert_eq!(
            host.incoming(&to_server(net, 8080, ACK)),
            "pass flow debug",
            "a moment before"
        );
        host.wait(3);
        assert_eq!(host.incoming(&to_server(net, 8080, ACK)), "drop default");
        assert_eq!(
            host.outgoing(&to_client(net, 8080, ACK)),
            "drop tcp-no-state",
            "the flow is gone"
        );
        assert_eq!(
            host.incoming(&to_server(net, 8080, SYN)),
            "drop default",
            "and none is opened"
        );
        assert_eq!(
            host.incoming(&to_server(net, 443, ACK)),
            "pass flow web",
            "what a lasting rule has let in stays"
        );
    }
}

#[test]
fn a_half_open_flow_ends_with_its_rule() {
    for net in nets() {
        let mut host = Host::with_timed(WEB, DEBUG);
        assert_eq!(host.incoming(&to_server(net, 8080, SYN)), "pass rule debug");
        host.wait(61);
        assert_eq!(
            host.outgoing(&to_client(net, 8080, SYN | ACK)),
            "drop default",
            "the reply is judged by the opener"
        );
        assert_eq!(host.states(), []);
    }
}

#[test]
fn the_rules_behind_one_that_has_ended_take_over_its_flows() {
    for net in nets() {
        let mut host = Host::with_timed(WEB, BEFORE_WEB);
        connect(&host, net, 443, "early");
        host.wait(61);
        assert_eq!(
            host.outgoing(&to_client(net, 443, ACK)),
            "pass flow later",
            "one rule of two has ended"
        );
        assert_eq!(host.incoming(&to_server(net, 443, ACK)), "pass flow later");
        host.wait(60);
        assert_eq!(host.incoming(&to_server(net, 443, ACK)), "pass flow web");
        assert_eq!(host.outgoing(&to_client(net, 443, ACK)), "pass flow web");
        host.wait(3600);
        assert_eq!(
            host.incoming(&to_server(net, 443, ACK)),
            "pass flow web",
            "this one has no end"
        );
    }
}

#[test]
fn a_rule_that_keeps_out_does_so_for_its_time() {
    for net in nets() {
        let mut host = Host::new(WEB);
        connect(&host, net, 443, "web");
        host.replace_with_timed(WEB, SHUT);
        assert_eq!(host.incoming(&to_server(net, 443, ACK)), "drop rule shut");
        assert_eq!(host.incoming(&to_server(net, 443, SYN)), "drop rule shut");
        host.wait(61);
        connect(&host, net, 443, "web");
    }
}

#[test]
fn a_rule_that_has_ended_lets_nothing_live_on_where_live_flows_are_left_alone() {
    for net in nets() {
        let keep = format!("[options]\nkeep_live_flows = true\n{WEB}");
        let mut host = Host::with_timed(&keep, DEBUG);
        connect(&host, net, 8080, "debug");
        connect(&host, net, 443, "web");
        host.replace(&keep);
        assert_eq!(
            host.incoming(&to_server(net, 8080, ACK)),
            "pass flow debug",
            "its rule is gone, and live flows are kept"
        );
        host.wait(61);
        assert_eq!(
            host.incoming(&to_server(net, 8080, ACK)),
            "drop default",
            "but for no longer than it was to hold"
        );
        assert_eq!(host.incoming(&to_server(net, 443, ACK)), "pass flow web");
    }
}
