//! Two CPUs open, answer and close the same connections at once, through the programs, while a third party ends flows.
//!
//! Tables of a few hundred buckets, so that the two meet in them; `FIREWALL_STRESS_SECONDS` makes it run for longer.
//! With `Table::insert` made to leave the filter as it was, a packet of an assured flow is dropped at the end.

use std::{collections::HashSet, net::IpAddr};

use firewall_agent::dataplane::FlowTable;
use firewall_common::{
    counters::Hook,
    verdict::Verdict,
    wire::tcp::{ACK, FIN, RST, SYN},
};
use firewall_tests::{
    engine::{Engine, Interface},
    frames::{Packet, Segment},
    host::{end, nets},
    stress::stress,
};

use crate::Host;

const RULES: &str = r#"
[[rule]]
name = "even"
allow = "tcp/444"
from = "any"

[[rule]]
name = "odd"
allow = "tcp/443"
from = "any"
"#;

/// Connections that the threads fight over: more than there are places for half of them.
const CONNECTIONS: u16 = 6000;
/// Connections that every other packet is of, so that both threads open the same one at the same time.
const HOT_CONNECTIONS: u16 = 16;
const SECONDS: u64 = 3;
const NOW_TICKS: u32 = 1000;

fn segment(client: IpAddr, server: IpAddr, number: u16, hook: Hook, flags: u8) -> Vec<u8> {
    let (from, to) = (end(client, 10_000 + number), end(server, 443 + number % 2));
    let segment = Segment::new(flags);
    match hook {
        Hook::Ingress => Packet::tcp(from, to, &segment),
        Hook::Egress => Packet::tcp(to, from, &segment),
    }
    .frame()
}

#[test]
fn two_cpus_at_once_leave_every_flow_whole_and_single() {
    let host = Host::new(RULES);
    let net = nets()[0];
    let frames: Vec<_> = (0..CONNECTIONS)
        .flat_map(|number| [number, number % HOT_CONNECTIONS])
        .flat_map(|number| {
            [
                (Hook::Ingress, SYN),
                (Hook::Egress, SYN | ACK),
                (Hook::Ingress, ACK),
                (Hook::Egress, ACK),
                (Hook::Ingress, FIN | ACK),
                (Hook::Egress, RST | ACK),
            ]
            .map(|(hook, flags)| (hook, segment(net.client, net.server, number, hook, flags)))
        })
        .collect();
    let ran = host.engine.contend(frames, NOW_TICKS, stress(SECONDS));
    let flows = host.engine.live_flows();
    println!("{ran} packets, {} flows at the end", flows.len());
    assert!(ran > 10_000, "too little happened: {ran} packets");
    let mut seen = HashSet::new();
    let mut assured = 0;
    for (table, key, rule) in &flows {
        let is_assured = matches!(table, FlowTable::Assured);
        assert!(seen.insert((is_assured, *key)), "twice in a table: {key:?}");
        // Counters are numbered in the order of the rules, after those of the defaults.
        let expected = if key.local_port == 444 { 3 } else { 4 };
        assert_eq!(*rule, expected, "another flow's rule: {key:?}");
        assured += usize::from(is_assured);
    }
    assert!(
        assured > 0 && assured < flows.len(),
        "{assured} of {}",
        flows.len()
    );
    // What stands in the table of assured flows is found there: nothing is lost to the filters.
    for (table, key, _) in &flows {
        if matches!(table, FlowTable::Half) {
            continue;
        }
        let number = key.remote_port - 10_000;
        let frame = segment(net.client, net.server, number, Hook::Ingress, ACK);
        let judged = host
            .engine
            .judge(&frame, Interface::Eth0, Hook::Ingress, NOW_TICKS);
        assert_eq!(judged.verdict, Verdict::Pass, "{key:?}: {judged:?}");
    }
}
