//! Generations, modes, the deadline, the failsafe, bans, and full tables.

use firewall_agent::dataplane::FlowTable;
use firewall_common::{
    cell::Mode,
    counters::Hook,
    flow::State,
    wire::tcp::{ACK, RST, SYN},
};
use firewall_tests::{
    engine::{Engine, Interface},
    frames::{Packet, Segment, frame},
    host::{Net, end, nets},
};

use crate::Host;

const BOTH: &str = r#"
[[rule]]
name = "web"
allow = "tcp/443"
from = "any"

[[rule]]
name = "ask"
allow = "udp/53"
to = "any"
"#;

/// As [`BOTH`], with everything under another name.
const RENAMED: &str = r#"
[[rule]]
name = "site"
allow = "tcp/443"
from = "any"

[[rule]]
name = "names"
allow = "udp/53"
to = "any"
"#;

fn tcp_in(net: Net, flags: u8) -> Packet {
    Packet::tcp(
        end(net.client, 40_000),
        end(net.server, 443),
        &Segment::new(flags),
    )
}

fn tcp_out(net: Net, flags: u8) -> Packet {
    Packet::tcp(
        end(net.server, 443),
        end(net.client, 40_000),
        &Segment::new(flags),
    )
}

fn question(net: Net) -> Packet {
    Packet::udp(end(net.server, 1024), end(net.client, 53), 20)
}

fn answer(net: Net) -> Packet {
    Packet::udp(end(net.client, 53), end(net.server, 1024), 20)
}

/// A host with an incoming connection and an outgoing question.
fn connected(net: Net, rules: &str) -> Host {
    let host = Host::new(rules);
    assert_eq!(host.incoming(&tcp_in(net, SYN)), "pass rule web");
    assert_eq!(host.outgoing(&tcp_out(net, SYN | ACK)), "pass flow web");
    assert_eq!(host.incoming(&tcp_in(net, ACK)), "pass flow web");
    assert_eq!(host.outgoing(&question(net)), "pass rule ask");
    host
}

#[test]
fn s65_a_new_policy_that_allows_a_flow_takes_it_over() {
    for net in nets() {
        let mut host = connected(net, BOTH);
        host.replace(RENAMED);
        assert_eq!(
            host.outgoing(&tcp_out(net, ACK)),
            "pass flow site",
            "the reply is judged by the opener"
        );
        assert_eq!(host.incoming(&tcp_in(net, ACK)), "pass flow site");
        assert_eq!(host.incoming(&answer(net)), "pass flow names");
        assert_eq!(host.outgoing(&question(net)), "pass flow names");
    }
}

#[test]
fn s65_a_flow_is_judged_again_only_once() {
    for net in nets() {
        let mut host = connected(net, BOTH);
        host.replace(RENAMED);
        assert_eq!(host.incoming(&tcp_in(net, ACK)), "pass flow site");
        assert_eq!(host.incoming(&answer(net)), "pass flow names");
        // The rules vanish under the same epoch: whoever asked them again would drop.
        host.gut(1);
        assert_eq!(host.incoming(&tcp_in(net, ACK)), "pass flow site");
        assert_eq!(host.outgoing(&tcp_out(net, ACK)), "pass flow site");
        assert_eq!(host.incoming(&answer(net)), "pass flow names");
        let syn = Packet::tcp(end(net.client, 40_001), end(net.server, 443), &Segment::new(SYN));
        assert_eq!(host.incoming(&syn), "drop default", "the rules are gone indeed");
    }
}

#[test]
fn s66_a_new_deny_cuts_live_flows() {
    for net in nets() {
        for opener_first in [true, false] {
            let mut host = connected(net, BOTH);
            host.replace("[[rule]]\nname = \"no\"\ndrop = \"tcp/443\"\nfrom = \"any\"\n");
            let (first, second) = if opener_first {
                (
                    host.incoming(&tcp_in(net, ACK)),
                    host.outgoing(&tcp_out(net, ACK)),
                )
            } else {
                (
                    host.outgoing(&tcp_out(net, ACK)),
                    host.incoming(&tcp_in(net, ACK)),
                )
            };
            assert_eq!(first, "drop rule no");
            assert_eq!(second, "drop tcp-no-state", "the flow has ended");
            assert_eq!(
                host.incoming(&answer(net)),
                "reject default",
                "judged as this host's question"
            );
            host.replace(BOTH);
            assert_eq!(
                host.incoming(&tcp_in(net, ACK)),
                "drop tcp-no-state",
                "and stays so"
            );
        }
    }
}

#[test]
fn s66_a_policy_may_leave_live_flows_alone() {
    for net in nets() {
        let mut host = connected(net, BOTH);
        host.replace("[options]\nkeep_live_flows = true\n");
        assert_eq!(
            host.incoming(&tcp_in(net, ACK)),
            "pass flow web",
            "under the rule that let it in"
        );
        assert_eq!(host.outgoing(&tcp_out(net, ACK)), "pass flow web");
        assert_eq!(host.incoming(&answer(net)), "pass flow ask");
        assert_eq!(
            host.incoming(&tcp_in(net, SYN)),
            "pass flow web",
            "for the stack to answer"
        );
        let new = Packet::tcp(end(net.client, 40_001), end(net.server, 443), &Segment::new(SYN));
        assert_eq!(host.incoming(&new), "drop default");
    }
}

#[test]
fn bans_cut_live_flows_even_so() {
    for net in nets() {
        for rules in [BOTH, &format!("[options]\nkeep_live_flows = true\n{BOTH}")] {
            let mut host = connected(net, rules);
            let until = host.after(60);
            host.engine.ban(net.client, until);
            assert_eq!(host.incoming(&tcp_in(net, ACK)), "drop banned");
            assert_eq!(
                host.outgoing(&tcp_out(net, ACK)),
                "drop banned",
                "destinations too"
            );
            assert_eq!(host.incoming(&answer(net)), "drop banned");
            assert_eq!(host.incoming(&tcp_in(net, SYN)), "drop banned");
            let other = Packet::tcp(end(net.other, 1), end(net.server, 443), &Segment::new(SYN));
            assert_eq!(host.incoming(&other), "pass rule web");
            host.wait(59);
            assert_eq!(host.incoming(&tcp_in(net, SYN)), "drop banned");
            host.wait(2);
            assert_eq!(
                host.incoming(&tcp_in(net, SYN)),
                "pass rule web",
                "a ban ends by itself"
            );
        }
    }
}

#[test]
fn bans_do_not_reach_the_failsafe() {
    for net in nets() {
        let mut host = Host::new("");
        host.engine.ban(net.manager, 0);
        let login = Packet::tcp(end(net.manager, 9), end(net.server, 22), &Segment::new(SYN));
        assert_eq!(host.incoming(&login), "pass failsafe-management");
        let other = Packet::tcp(end(net.manager, 9), end(net.server, 23), &Segment::new(SYN));
        assert_eq!(host.incoming(&other), "drop banned");
    }
}

#[test]
fn s69_the_failsafe_works_under_deny_all_and_in_panic() {
    for net in nets() {
        let mut host = Host::new("[[rule]]\nname = \"none\"\ndrop = \"any\"\nfrom = \"any\"\n");
        for mode in [Mode::Normal, Mode::Panic] {
            host.switch(0, mode, None);
            let denied = |text: &str| {
                assert!(
                    ["drop rule none", "drop panic", "reject default"].contains(&text),
                    "{text}"
                );
            };
            for flags in [SYN, ACK, SYN | ACK] {
                let to = |from, port| Packet::tcp(end(from, 9), end(net.server, port), &Segment::new(flags));
                let back = |to, port| Packet::tcp(end(net.server, port), end(to, 9), &Segment::new(flags));
                assert_eq!(host.incoming(&to(net.manager, 22)), "pass failsafe-management");
                assert_eq!(host.outgoing(&back(net.manager, 22)), "pass failsafe-management");
                if flags == SYN {
                    denied(&host.incoming(&to(net.client, 22)));
                    denied(&host.incoming(&to(net.manager, 80)));
                    denied(&host.outgoing(&back(net.client, 22)));
                }
            }
            let ask = |to, port| Packet::udp(end(net.server, 9), end(to, port), 20);
            let told = |from, port| Packet::udp(end(from, port), end(net.server, 9), 20);
            assert_eq!(host.outgoing(&ask(net.resolver, 53)), "pass failsafe-dns");
            assert_eq!(host.incoming(&told(net.resolver, 53)), "pass failsafe-dns");
            denied(&host.outgoing(&ask(net.client, 53)));
            denied(&host.incoming(&told(net.client, 53)));
            denied(&host.outgoing(&ask(net.resolver, 54)));
            let from_resolver = Packet::tcp(end(net.resolver, 53), end(net.server, 9), &Segment::new(SYN));
            denied(&host.incoming(&from_resolver));
            assert_eq!(
                host.frame(&frame(&[], 0x0806, &[0; 46]), Hook::Ingress),
                "pass link-protocol"
            );
            assert!(
                host.states().iter().all(|&state| state == State::Refused),
                "the failsafe needs no table"
            );
        }
    }
}

#[test]
fn panic_stops_live_flows_and_its_end_lets_them_go_on() {
    for net in nets() {
        let mut host = connected(net, BOTH);
        host.switch(0, Mode::Panic, None);
        assert_eq!(host.incoming(&tcp_in(net, ACK)), "drop panic");
        assert_eq!(host.outgoing(&tcp_out(net, ACK)), "drop panic");
        assert_eq!(host.incoming(&tcp_in(net, SYN)), "drop panic");
        host.switch(0, Mode::Normal, None);
        assert_eq!(host.incoming(&tcp_in(net, ACK)), "pass flow web");
    }
}

#[test]
fn pause_passes_everything() {
    for net in nets() {
        let mut host = Host::new("");
        host.switch(0, Mode::Pause, None);
        assert_eq!(host.incoming(&tcp_in(net, ACK)), "pass paused");
        assert_eq!(host.incoming(&tcp_in(net, 0)), "pass paused", "malformed, too");
        assert_eq!(host.outgoing(&question(net)), "pass paused");
        host.switch(0, Mode::Normal, None);
        assert_eq!(host.incoming(&tcp_in(net, ACK)), "drop tcp-no-state");
    }
}

#[test]
fn without_confirmation_the_fallback_takes_over_at_the_deadline() {
    for net in nets() {
        let mut host = connected(net, BOTH);
        host.load(
            1,
            "[[rule]]\nname = \"mail\"\nallow = \"tcp/25\"\nfrom = \"any\"\n",
        );
        let mail = |port| Packet::tcp(end(net.client, port), end(net.server, 25), &Segment::new(SYN));
        assert_eq!(host.incoming(&mail(1)), "drop default");
        host.switch(1, Mode::Normal, Some((0, 60)));
        assert_eq!(host.incoming(&mail(2)), "pass rule mail");
        assert_eq!(
            host.incoming(&answer(net)),
            "reject default",
            "cut by the candidate"
        );
        host.wait(59);
        assert_eq!(host.incoming(&mail(3)), "pass rule mail");
        host.wait(1);
        assert_eq!(host.incoming(&mail(4)), "drop default");
        assert_eq!(
            host.incoming(&mail(2)),
            "drop default",
            "what the candidate let in is judged again"
        );
        assert_eq!(
            host.incoming(&tcp_in(net, ACK)),
            "pass flow web",
            "no packet met the candidate"
        );
        assert_eq!(host.outgoing(&question(net)), "pass rule ask");
    }
}

#[test]
fn a_deadline_in_panic_falls_back_to_normal() {
    for net in nets() {
        let mut host = Host::new(BOTH);
        host.switch(0, Mode::Panic, Some((0, 10)));
        assert_eq!(host.incoming(&tcp_in(net, SYN)), "drop panic");
        host.wait(10);
        assert_eq!(host.incoming(&tcp_in(net, SYN)), "pass rule web");
    }
}

#[test]
fn an_empty_slot_drops() {
    for net in nets() {
        let mut host = Host::new(BOTH);
        host.switch(3, Mode::Normal, None);
        assert_eq!(host.incoming(&tcp_in(net, SYN)), "drop no-policy");
        host.switch(9, Mode::Normal, None);
        assert_eq!(host.incoming(&tcp_in(net, SYN)), "drop no-policy");
    }
}

#[test]
fn interfaces_that_rules_name() {
    for net in nets() {
        let host = Host::new(
            "[[rule]]\nname = \"inside\"\nallow = \"tcp/443\"\nfrom = \"any\"\ninterface = [\"eth1\"]\n",
        );
        for (interface, expected) in [
            (Interface::Unnamed, "drop default"),
            (Interface::Eth0, "drop default"),
            (Interface::Eth1, "pass rule inside"),
        ] {
            let seen = host.frame_on(interface, &tcp_in(net, SYN).frame(), Hook::Ingress);
            assert_eq!(seen, expected, "{interface:?}");
        }
    }
}

#[test]
fn only_declared_networks_are_forwarded() {
    const RULES: &str = r#"
[forwarded]
networks = ["10.0.7.0/24", "fd00:7::/64"]

[[rule]]
name = "published"
allow = "tcp/8080"
forward = true
from = "any"
to = ["10.0.7.0/24", "fd00:7::/64"]

[[rule]]
name = "web"
allow = "tcp/8080"
from = "any"
"#;
    for net in nets() {
        let host = Host::new(RULES);
        let behind = if net.server.is_ipv4() {
            "10.0.7.5"
        } else {
            "fd00:7::5"
        };
        let syn = |to: &str| {
            let to = end(to.parse().expect("an address"), 8080);
            Packet::tcp(end(net.client, 1), to, &Segment::new(SYN))
        };
        assert_eq!(host.incoming(&syn(behind)), "pass rule published");
        let reply = Packet::tcp(
            end(behind.parse().expect("an address"), 8080),
            end(net.client, 1),
            &Segment::new(SYN | ACK),
        );
        assert_eq!(host.outgoing(&reply), "pass flow published");
        // An address that is not this host's (yet) is judged as if it were.
        let elsewhere = if net.server.is_ipv4() {
            "10.0.8.5"
        } else {
            "fd00:8::5"
        };
        assert_eq!(host.incoming(&syn(elsewhere)), "pass rule web");
    }
}

#[test]
fn a_declared_interface_forwards_everything_and_no_other_does() {
    const RULES: &str = r#"
[forwarded]
interfaces = ["eth1"]

[[rule]]
name = "through"
allow = "tcp/443"
forward = true
from = "any"
to = "any"

[[rule]]
name = "web"
allow = ["tcp/443", "tcp/8080"]
from = "any"
"#;
    for net in nets() {
        let host = Host::new(RULES);
        let syn = tcp_in(net, SYN).frame();
        let (there, here) = (Interface::Eth1, Interface::Eth0);
        let reply = tcp_out(net, SYN | ACK).frame();
        assert_eq!(host.frame_on(there, &syn, Hook::Ingress), "pass rule through");
        assert_eq!(host.frame_on(there, &reply, Hook::Egress), "pass flow through");
        let other = Host::new(RULES);
        assert_eq!(other.frame_on(here, &syn, Hook::Ingress), "pass rule web");
        assert_eq!(
            other.frame_on(Interface::Unnamed, &syn, Hook::Ingress),
            "pass flow web"
        );
        let to_8080 = Packet::tcp(end(net.client, 7), end(net.server, 8080), &Segment::new(SYN));
        let host = Host::new(RULES);
        let seen = host.frame_on(there, &to_8080.frame(), Hook::Ingress);
        assert_eq!(seen, "drop default", "no rule forwards it");
        assert_eq!(
            host.frame_on(here, &to_8080.frame(), Hook::Ingress),
            "pass rule web"
        );
    }
}

/// Connects from so many ports of `from`; returns how many connections were refused.
fn connect_many(host: &Host, net: Net, from: std::net::IpAddr, count: u16) -> usize {
    (1..=count)
        .filter(|&port| {
            let out = |flags| Packet::tcp(end(net.server, 443), end(from, port), &Segment::new(flags));
            let back = |flags| Packet::tcp(end(from, port), end(net.server, 443), &Segment::new(flags));
            let steps = [
                host.incoming(&back(SYN)),
                host.outgoing(&out(SYN | ACK)),
                host.incoming(&back(ACK)),
            ];
            steps.iter().any(|step| step == "drop flow-table-full")
        })
        .count()
}

#[test]
fn s61_full_table() {
    for net in nets() {
        let mut host = connected(net, BOTH);
        let refused = connect_many(&host, net, net.other, 9000);
        let held = host.engine.flows(FlowTable::Assured).len();
        assert!(refused > 1000 && held > 6000, "{refused} refused, {held} held");
        assert_eq!(9000 + 1, refused + held, "each is either held or refused");
        assert_eq!(
            host.incoming(&tcp_in(net, ACK)),
            "pass flow web",
            "no live flow gave way"
        );
        host.wait(24 * 3600 + 1);
        assert_eq!(
            connect_many(&host, net, net.other, 1000),
            0,
            "ended flows give way"
        );
    }
}

#[test]
fn s61_in_a_full_table_live_flows_of_every_kind_go_on_and_new_ones_are_refused() {
    for net in nets() {
        let host = connected(net, BOTH);
        assert_eq!(host.incoming(&answer(net)), "pass flow ask");
        assert_eq!(host.outgoing(&question(net)), "pass flow ask");
        connect_many(&host, net, net.other, 9000);
        let held = host.engine.flows(FlowTable::Assured).len();
        let from = |port| end(net.server, port);
        let refused = (2000..3000)
            .filter(|&port| {
                let ask = Packet::udp(from(port), end(net.client, 53), 20);
                let answer = Packet::udp(end(net.client, 53), from(port), 20);
                assert_eq!(
                    host.outgoing(&ask),
                    "pass rule ask",
                    "it takes no room of live flows"
                );
                assert_eq!(host.incoming(&answer), "pass flow ask");
                host.outgoing(&ask) == "drop flow-table-full"
            })
            .count();
        assert!(refused > 500, "{refused} of 1000");
        assert_eq!(
            host.engine.flows(FlowTable::Assured).len(),
            held + 1000 - refused,
            "each is either held or refused"
        );
        for _ in 0..2 {
            assert_eq!(host.incoming(&tcp_in(net, ACK)), "pass flow web");
            assert_eq!(host.outgoing(&tcp_out(net, ACK)), "pass flow web");
            assert_eq!(host.outgoing(&question(net)), "pass flow ask");
            assert_eq!(host.incoming(&answer(net)), "pass flow ask");
        }
        assert_eq!(
            host.incoming(&Packet::tcp(
                end(net.other, 7),
                end(net.server, 80),
                &Segment::new(SYN)
            )),
            "drop default",
            "what no rule allows is not told that the table is full"
        );
    }
}

#[test]
fn s61_flows_that_were_closed_give_way_at_once() {
    for net in nets() {
        let host = connected(net, BOTH);
        connect_many(&host, net, net.other, 9000);
        let refused = connect_many(&host, net, net.router, 500);
        assert!(refused > 250, "{refused} of 500");
        for port in 1..=9000 {
            let reset = Packet::tcp(
                end(net.server, 443),
                end(net.other, port),
                &Segment::new(RST | ACK),
            );
            host.outgoing(&reset);
        }
        assert_eq!(
            connect_many(&host, net, net.router, 500),
            0,
            "the same come again"
        );
        assert_eq!(host.incoming(&tcp_in(net, ACK)), "pass flow web");
    }
}

#[test]
fn s62_half_open_flows_are_bounded_and_push_out_no_live_one() {
    for net in nets() {
        let host = connected(net, BOTH);
        for port in 1..15_000 {
            let syn = Packet::tcp(end(net.other, port), end(net.server, 443), &Segment::new(SYN));
            assert_eq!(host.incoming(&syn), "pass rule web");
        }
        assert!(host.engine.flows(FlowTable::Half).len() <= 7 * 1024);
        assert_eq!(host.engine.flows(FlowTable::Assured).len(), 1);
        assert_eq!(host.incoming(&tcp_in(net, ACK)), "pass flow web");
        assert_eq!(
            connect_many(&host, net, net.router, 100),
            0,
            "a good client still connects"
        );
    }
}
