//! TCP: the states of a connection, and what does not belong to any.

use firewall_common::{
    flow::State,
    wire::tcp::{ACK, FIN, RST, SYN},
};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{Net, end, nets},
};

use crate::Host;

const RULES: &str = r#"
[[rule]]
name = "web"
allow = ["tcp/443"]
from = ["10.0.0.2", "fd00::2"]

[[rule]]
name = "no-telnet"
reject = "tcp/23"
from = "any"

[[rule]]
name = "out"
allow = "tcp/443"
to = ["10.0.0.2", "fd00::2"]
"#;

/// One connection, seen from both ends.
struct Connection {
    host: Host,
    net: Net,
    from_client: bool,
    client_port: u16,
}

impl Connection {
    /// The client connects to this host.
    fn inbound(net: Net) -> Self {
        Self {
            host: Host::new(RULES),
            net,
            from_client: true,
            client_port: 40_000,
        }
    }

    /// This host connects to the client.
    fn outbound(net: Net) -> Self {
        Self {
            from_client: false,
            ..Self::inbound(net)
        }
    }

    /// A segment of whoever opened the connection.
    fn opener(&self, segment: &Segment) -> String {
        let Net { server, client, .. } = self.net;
        if self.from_client {
            let packet = Packet::tcp(end(client, self.client_port), end(server, 443), segment);
            self.host.incoming(&packet)
        } else {
            let packet = Packet::tcp(end(server, self.client_port), end(client, 443), segment);
            self.host.outgoing(&packet)
        }
    }

    /// A segment of whoever was asked.
    fn responder(&self, segment: &Segment) -> String {
        let Net { server, client, .. } = self.net;
        if self.from_client {
            let packet = Packet::tcp(end(server, 443), end(client, self.client_port), segment);
            self.host.outgoing(&packet)
        } else {
            let packet = Packet::tcp(end(client, 443), end(server, self.client_port), segment);
            self.host.incoming(&packet)
        }
    }

    /// The rule that the opener's SYN meets.
    fn rule(&self) -> &'static str {
        if self.from_client { "web" } else { "out" }
    }

    fn opens(&self) -> String {
        format!("pass rule {}", self.rule())
    }

    fn flows(&self) -> String {
        format!("pass flow {}", self.rule())
    }

    /// The handshake. The opener starts at sequence number 1000, the responder at 2000.
    fn establish(self) -> Self {
        assert_eq!(self.opener(&Segment::new(SYN).sequence(1000)), self.opens());
        let answer = Segment::new(SYN | ACK).sequence(2000).acknowledgement(1001);
        assert_eq!(self.responder(&answer), self.flows());
        let last = Segment::new(ACK).sequence(1001).acknowledgement(2001);
        assert_eq!(self.opener(&last), self.flows());
        assert_eq!(self.host.states(), [State::Established]);
        self
    }

    /// Data of both ends passes.
    fn is_usable(&self) {
        let data = Segment::new(ACK).sequence(1001).acknowledgement(2001).data(10);
        assert_eq!(self.opener(&data), self.flows());
        let data = Segment::new(ACK).sequence(2001).acknowledgement(1011).data(10);
        assert_eq!(self.responder(&data), self.flows());
    }

    fn refuses_data(&self, reason: &str) {
        assert_eq!(self.opener(&Segment::new(ACK).data(1)), reason);
        assert_eq!(self.responder(&Segment::new(ACK).data(1)), reason);
    }
}

/// Both families, opened on either side.
fn connections() -> impl Iterator<Item = Connection> {
    let makers = [Connection::inbound, Connection::outbound];
    // Each is made when it is asked for: a kernel has one host at a time.
    let all = nets()
        .into_iter()
        .flat_map(move |net| makers.map(|make| (net, make)));
    all.map(|(net, make)| make(net))
}

#[test]
fn s01_s03_handshake_and_data_pass_both_ways() {
    for connection in connections() {
        let connection = connection.establish();
        connection.is_usable();
    }
}

#[test]
fn s02_syn_to_a_port_not_allowed_is_dropped_or_rejected() {
    for net in nets() {
        let host = Host::new(RULES);
        let syn = |from, port| Packet::tcp(end(from, 40_000), end(net.server, port), &Segment::new(SYN));
        assert_eq!(host.incoming(&syn(net.client, 80)), "drop default");
        assert_eq!(host.incoming(&syn(net.other, 443)), "drop default");
        assert_eq!(host.incoming(&syn(net.other, 23)), "reject rule no-telnet");
        assert_eq!(host.incoming(&syn(net.client, 443)), "pass rule web");
        assert_eq!(
            host.states(),
            [State::SynSent],
            "only what was allowed has a flow"
        );
    }
}

#[test]
fn s03_refused_outgoing_connections_fail_at_once() {
    for net in nets() {
        let mut host = Host::new(RULES);
        let syn = Packet::tcp(end(net.server, 40_000), end(net.client, 80), &Segment::new(SYN));
        assert_eq!(host.outgoing(&syn), "reject default");
        // The reply builder sends this to the local socket, by way of the interface.
        let refusal = Packet::tcp(
            end(net.client, 80),
            end(net.server, 40_000),
            &Segment::new(RST | ACK),
        );
        let other = |flags| Packet::tcp(end(net.client, 80), end(net.server, 40_000), &Segment::new(flags));
        assert_eq!(
            host.incoming(&other(SYN | ACK)),
            "drop tcp-no-state",
            "nothing but the refusal"
        );
        assert_eq!(host.incoming(&other(ACK)), "drop tcp-no-state");
        assert_eq!(host.incoming(&other(SYN)), "drop default");
        assert_eq!(host.incoming(&refusal), "pass flow default");
        let own = Packet::tcp(end(net.server, 40_000), end(net.client, 80), &Segment::new(RST));
        assert_eq!(host.outgoing(&own), "drop tcp-no-state");
        assert_eq!(host.outgoing(&syn), "reject default", "and again");
        host.wait(3);
        assert_eq!(host.incoming(&refusal), "drop tcp-no-state");
        assert_eq!(host.outgoing(&syn), "reject default");
        assert_eq!(
            host.incoming(&refusal),
            "pass flow default",
            "after the first has ended"
        );
    }
}

#[test]
fn s04_syn_ack_without_a_flow_is_dropped() {
    for connection in connections() {
        assert_eq!(connection.opener(&Segment::new(SYN | ACK)), "drop tcp-no-state");
        assert_eq!(
            connection.responder(&Segment::new(SYN | ACK)),
            "drop tcp-no-state"
        );
        assert_eq!(connection.host.states(), []);
    }
}

#[test]
fn s05_mid_flow_packets_without_a_flow_are_dropped() {
    for connection in connections() {
        connection.refuses_data("drop tcp-no-state");
        assert_eq!(connection.opener(&Segment::new(FIN | ACK)), "drop tcp-no-state");
        assert_eq!(connection.opener(&Segment::new(RST)), "drop tcp-no-state");
    }
}

#[test]
fn s05_mid_flow_pick_up_takes_only_what_is_allowed_as_new() {
    for net in nets() {
        let host = Host::new(&format!("[options]\ntcp_midflow_pickup = true\n{RULES}"));
        let data = |from, port| {
            let segment = Segment::new(ACK).data(5);
            Packet::tcp(end(from, 40_000), end(net.server, port), &segment)
        };
        assert_eq!(host.incoming(&data(net.other, 443)), "drop default");
        assert_eq!(host.incoming(&data(net.client, 80)), "drop default");
        let syn_ack = Packet::tcp(
            end(net.client, 40_000),
            end(net.server, 443),
            &Segment::new(SYN | ACK),
        );
        assert_eq!(host.incoming(&syn_ack), "drop tcp-no-state");
        assert_eq!(host.incoming(&data(net.client, 443)), "pass rule web");
        let reply = Packet::tcp(
            end(net.server, 443),
            end(net.client, 40_000),
            &Segment::new(ACK).data(5),
        );
        assert_eq!(host.outgoing(&reply), "pass flow web");
        assert_eq!(host.incoming(&data(net.client, 443)), "pass flow web");
        assert_eq!(host.states(), [State::Established], "both have gone on");
    }
}

#[test]
fn s06_inexact_reset_leaves_the_flow_usable() {
    for connection in connections() {
        let mut connection = connection.establish();
        let reset = Segment::new(RST).sequence(999_999);
        let forged = if connection.from_client {
            connection.opener(&reset)
        } else {
            connection.responder(&reset)
        };
        assert_eq!(forged, connection.flows());
        assert_eq!(connection.host.states(), [State::ResetInDoubt]);
        connection.host.wait(200);
        connection.is_usable();
        assert_eq!(connection.host.states(), [State::Established]);
        connection.host.wait(7440);
        connection.is_usable();
    }
}

#[test]
fn s06_inexact_reset_of_a_dead_peer_shortens_the_flow() {
    for connection in connections() {
        let mut connection = connection.establish();
        let reset = Segment::new(RST).sequence(999_999);
        let _ = if connection.from_client {
            connection.opener(&reset)
        } else {
            connection.responder(&reset)
        };
        connection.host.wait(242);
        connection.refuses_data("drop tcp-no-state");
    }
}

#[test]
fn s07_exact_reset_closes() {
    for connection in connections() {
        let mut connection = connection.establish();
        // The host has acknowledged what the remote end sends next.
        let reset = if connection.from_client {
            connection.is_usable();
            connection.opener(&Segment::new(RST).sequence(1011))
        } else {
            connection.responder(&Segment::new(RST).sequence(2001))
        };
        assert_eq!(reset, connection.flows());
        assert_eq!(connection.host.states(), [State::Reset]);
        connection.host.wait(11);
        connection.refuses_data("drop tcp-no-state");
    }
}

#[test]
fn s07_the_hosts_own_reset_closes() {
    for connection in connections() {
        let mut connection = connection.establish();
        let reset = Segment::new(RST | ACK);
        let _ = if connection.from_client {
            connection.responder(&reset)
        } else {
            connection.opener(&reset)
        };
        assert_eq!(connection.host.states(), [State::Reset]);
        connection.host.wait(11);
        connection.refuses_data("drop tcp-no-state");
    }
}

#[test]
fn s08_inexact_reset_after_a_fin_closes() {
    for connection in connections() {
        let mut connection = connection.establish();
        assert_eq!(connection.responder(&Segment::new(FIN | ACK)), connection.flows());
        assert_eq!(connection.host.states(), [State::HalfClosed]);
        assert_eq!(
            connection.opener(&Segment::new(RST).sequence(77)),
            connection.flows()
        );
        assert_eq!(connection.host.states(), [State::Reset]);
        connection.host.wait(11);
        connection.refuses_data("drop tcp-no-state");
    }
}

#[test]
fn s09_syn_on_a_live_connection_is_for_the_stack_to_answer() {
    for connection in connections() {
        let connection = connection.establish();
        assert_eq!(
            connection.opener(&Segment::new(SYN).sequence(5000)),
            connection.flows()
        );
        assert_eq!(connection.host.states(), [State::Established]);
        let challenge = Segment::new(ACK).sequence(2001).acknowledgement(1001);
        assert_eq!(connection.responder(&challenge), connection.flows());
        assert_eq!(
            connection.opener(&Segment::new(RST).sequence(1001)),
            connection.flows()
        );
        assert_eq!(connection.host.states(), [State::Reset]);
        let connection = connection.establish();
        connection.is_usable();
    }
}

#[test]
fn s10_syn_answered_by_a_challenge_ack_of_an_old_incarnation() {
    for connection in connections() {
        assert_eq!(
            connection.opener(&Segment::new(SYN).sequence(1000)),
            connection.opens()
        );
        assert_eq!(
            connection.responder(&Segment::new(ACK).sequence(77)),
            connection.flows()
        );
        assert_eq!(
            connection.opener(&Segment::new(RST).sequence(88)),
            connection.flows()
        );
        connection.establish().is_usable();
    }
}

#[test]
fn s11_stale_syn_ack_does_not_poison_the_state() {
    for connection in connections() {
        assert_eq!(
            connection.opener(&Segment::new(SYN).sequence(1000)),
            connection.opens()
        );
        let stale = Segment::new(SYN | ACK).sequence(1).acknowledgement(5);
        assert_eq!(connection.responder(&stale), connection.flows());
        assert_eq!(
            connection.opener(&Segment::new(RST).sequence(5)),
            connection.flows()
        );
        let right = Segment::new(SYN | ACK).sequence(2000).acknowledgement(1001);
        assert_eq!(connection.responder(&right), connection.flows());
        let last = Segment::new(ACK).sequence(1001).acknowledgement(2001);
        assert_eq!(connection.opener(&last), connection.flows());
        assert_eq!(connection.host.states(), [State::Established]);
        connection.is_usable();
    }
}

#[test]
fn s12_retransmission_of_acknowledged_data_passes() {
    for connection in connections() {
        let connection = connection.establish();
        for _ in 0..3 {
            connection.is_usable();
        }
        let old = Segment::new(ACK).sequence(900).acknowledgement(1900).data(50);
        assert_eq!(connection.opener(&old), connection.flows());
    }
}

#[test]
fn s13_simultaneous_open_connects() {
    for connection in connections() {
        assert_eq!(
            connection.opener(&Segment::new(SYN).sequence(1000)),
            connection.opens()
        );
        assert_eq!(
            connection.responder(&Segment::new(SYN).sequence(2000)),
            connection.flows()
        );
        let answer = Segment::new(SYN | ACK).sequence(1000).acknowledgement(2001);
        assert_eq!(connection.opener(&answer), connection.flows());
        let answer = Segment::new(SYN | ACK).sequence(2000).acknowledgement(1001);
        assert_eq!(connection.responder(&answer), connection.flows());
        connection.is_usable();
        assert_eq!(connection.host.states(), [State::Established]);
    }
}

#[test]
fn s14_data_passes_until_both_fins() {
    for first_is_opener in [true, false] {
        for connection in connections() {
            let mut connection = connection.establish();
            let send = |connection: &Connection, opener, segment: &Segment| {
                if opener {
                    connection.opener(segment)
                } else {
                    connection.responder(segment)
                }
            };
            let fin = || Segment::new(FIN | ACK);
            assert_eq!(send(&connection, first_is_opener, &fin()), connection.flows());
            assert_eq!(connection.host.states(), [State::HalfClosed]);
            connection.host.wait(3600);
            connection.is_usable();
            assert_eq!(
                send(&connection, first_is_opener, &fin()),
                connection.flows(),
                "repeated"
            );
            assert_eq!(connection.host.states(), [State::HalfClosed]);
            assert_eq!(send(&connection, !first_is_opener, &fin()), connection.flows());
            assert_eq!(connection.host.states(), [State::Closing]);
            assert_eq!(
                send(&connection, first_is_opener, &Segment::new(ACK)),
                connection.flows(),
                "the last acknowledgement"
            );
            connection.host.wait(242);
            connection.refuses_data("drop tcp-no-state");
        }
    }
}

#[test]
fn s15_established_and_idle_for_two_hours_and_four_minutes() {
    for connection in connections() {
        let mut connection = connection.establish();
        connection.host.wait(2 * 3600 + 4 * 60);
        connection.is_usable();
        connection.host.wait(24 * 3600 - 1);
        connection.is_usable();
        connection.host.wait(24 * 3600 + 1);
        connection.refuses_data("drop tcp-no-state");
    }
}

#[test]
fn s15_timers_follow_the_policy() {
    for net in nets() {
        let mut connection = Connection::inbound(net);
        connection.host = Host::new(&format!("[timers]\ntcp_established = \"7440s\"\n{RULES}"));
        let mut connection = connection.establish();
        connection.host.wait(7439);
        connection.is_usable();
        connection.host.wait(7441);
        connection.refuses_data("drop tcp-no-state");
    }
}

#[test]
fn s16_half_open_entries_expire_and_block_nothing() {
    for mut connection in connections() {
        assert_eq!(
            connection.opener(&Segment::new(SYN).sequence(1000)),
            connection.opens()
        );
        connection.host.wait(239);
        let answer = || Segment::new(SYN | ACK).sequence(2000).acknowledgement(1001);
        assert_eq!(connection.responder(&answer()), connection.flows(), "239 s later");
        connection.host.wait(241);
        assert_eq!(
            connection.responder(&answer()),
            "drop tcp-no-state",
            "241 s later"
        );
        // The expired entry still lies in the table; the new connection has the same ends.
        connection.establish().is_usable();
    }
}

#[test]
fn s16_an_expired_connection_does_not_block_a_new_one() {
    for connection in connections() {
        let mut connection = connection.establish();
        connection.host.wait(24 * 3600 + 1);
        connection.refuses_data("drop tcp-no-state");
        connection.establish().is_usable();
    }
}

#[test]
fn s17_source_port_reused_soon_after_close() {
    for connection in connections() {
        let connection = connection.establish();
        let _ = connection.opener(&Segment::new(FIN | ACK));
        let _ = connection.responder(&Segment::new(FIN | ACK));
        assert_eq!(connection.opener(&Segment::new(ACK)), connection.flows());
        assert_eq!(connection.host.states(), [State::Closing]);
        connection.establish().is_usable();
    }
}

#[test]
fn s17_a_closed_connection_is_opened_anew_only_where_the_rules_allow_it() {
    for net in nets() {
        let connection = Connection::inbound(net).establish();
        let _ = connection.opener(&Segment::new(FIN | ACK));
        let _ = connection.responder(&Segment::new(FIN | ACK));
        // The same ends, opened by the other side: no rule lets this host connect to port 40000.
        assert_eq!(connection.responder(&Segment::new(SYN)), "reject default");
        assert_eq!(
            connection.opener(&Segment::new(ACK)),
            connection.flows(),
            "the old one goes on"
        );
    }
}

#[test]
fn s18_flags_that_no_connection_has() {
    const PSH: u8 = 8;
    const URG: u8 = 0x20;
    for connection in connections() {
        for flags in [
            0,
            FIN,
            FIN | PSH | URG,
            SYN | FIN,
            SYN | RST,
            SYN | FIN | ACK,
            SYN | RST | ACK,
            FIN | RST,
            FIN | RST | ACK,
            PSH | URG,
        ] {
            assert_eq!(
                connection.opener(&Segment::new(flags)),
                "drop tcp-flags",
                "{flags:#x}"
            );
        }
        let connection = connection.establish();
        assert_eq!(
            connection.opener(&Segment::new(0)),
            "drop tcp-flags",
            "on a live flow"
        );
        assert_eq!(
            connection.opener(&Segment::new(ACK | PSH | URG)),
            connection.flows()
        );
    }
}

#[test]
fn s20_syn_with_data_passes() {
    for connection in connections() {
        let syn = Segment::new(SYN).sequence(1000).data(100);
        assert_eq!(connection.opener(&syn), connection.opens());
        connection.establish_after_syn();
    }
}

impl Connection {
    fn establish_after_syn(self) {
        let answer = Segment::new(SYN | ACK).sequence(2000).acknowledgement(1101);
        assert_eq!(self.responder(&answer), self.flows());
        assert_eq!(self.opener(&Segment::new(ACK)), self.flows());
        self.is_usable();
    }
}

#[test]
fn syn_repeated_and_answer_repeated() {
    for mut connection in connections() {
        assert_eq!(
            connection.opener(&Segment::new(SYN).sequence(1000)),
            connection.opens()
        );
        assert_eq!(
            connection.opener(&Segment::new(SYN).sequence(1000)),
            connection.flows()
        );
        for _ in 0..2 {
            assert_eq!(connection.responder(&Segment::new(SYN | ACK)), connection.flows());
        }
        assert_eq!(connection.host.states(), [State::SynReceived]);
        connection.host.wait(239);
        assert_eq!(connection.opener(&Segment::new(ACK)), connection.flows());
        connection.is_usable();
    }
}

#[test]
fn a_refused_connection_is_over() {
    for mut connection in connections() {
        assert_eq!(
            connection.opener(&Segment::new(SYN).sequence(1000)),
            connection.opens()
        );
        assert_eq!(connection.responder(&Segment::new(RST | ACK)), connection.flows());
        assert_eq!(connection.host.states(), [State::Reset]);
        connection.host.wait(11);
        connection.refuses_data("drop tcp-no-state");
    }
}
