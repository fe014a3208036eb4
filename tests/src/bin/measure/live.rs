//! Packets of live flows, in both directions.

use std::net::IpAddr;

use anyhow::{Result, bail, ensure};
use firewall_common::{
    counters::Hook,
    wire::tcp::{ACK, SYN},
};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{end, nets},
};

use crate::{
    firewall::Firewall,
    report::{Report, Row},
    rounds::{Effort, take_turns},
    shim::{Own, Shim, Target},
};

const RULES: &str = r#"
[[rule]]
name = "web"
allow = "tcp/443"
from = "any"
"#;
const PORT: u16 = 443;
const ATTEMPTS: u32 = 8;
const SIZES: [u32; 3] = [1 << 10, 1 << 17, 1 << 20];
/// `XDP_PASS`
const PASS: u32 = 2;

/// A segment of a client at `remote`, or the server's to it.
fn segment(hook: Hook, remote: IpAddr, server: IpAddr, flags: u8) -> Vec<u8> {
    let (client, server) = (end(remote, 40_000), end(server, PORT));
    let segment = Segment::new(flags);
    match hook {
        Hook::Ingress => Packet::tcp(client, server, &segment),
        Hook::Egress => Packet::tcp(server, client, &segment),
    }
    .frame()
}

#[derive(Clone, Copy)]
enum Candidate {
    Empty,
    Lru,
    Firewall,
    EmptyOut,
    FirewallOut,
}

/// One row for each size and family.
pub(crate) fn measure(object: &[u8], effort: Effort, report: &mut Report) -> Result<()> {
    for size in SIZES.into_iter().filter(|size| *size <= effort.most_flows * 2) {
        for net in nets() {
            eprintln!("live flows: {size}, {}", net.server);
            row(object, effort, size, net.client, net.server, report)?;
        }
    }
    Ok(())
}

/// Opens a connection from each remote end. Where many do so at once some push each other out of the table of half-open
/// flows, as a flood would; like real clients they come again.
fn connect(shim: &mut Shim, firewall: &Firewall, client: IpAddr, server: IpAddr) -> Result<()> {
    for _ in 0..ATTEMPTS {
        for (hook, flags) in [
            (Hook::Ingress, SYN),
            (Hook::Egress, SYN | ACK),
            (Hook::Ingress, ACK),
        ] {
            let program = match hook {
                Hook::Ingress => &firewall.ingress,
                Hook::Egress => &firewall.egress,
            };
            let frame = segment(hook, client, server, flags);
            shim.run(hook, Target::Firewall(program), &frame, shim.count())?;
        }
        // A few find both their buckets full.
        if firewall.assured_flows()? >= shim.count() - shim.count() / 500 {
            return Ok(());
        }
    }
    bail!("{} of {} flows are live", firewall.assured_flows()?, shim.count());
}

fn row(
    object: &[u8],
    effort: Effort,
    size: u32,
    client: IpAddr,
    server: IpAddr,
    report: &mut Report,
) -> Result<()> {
    let mut shim = Shim::load(object, size)?;
    shim.fill_lru(server, PORT)?;
    let firewall = Firewall::load(RULES, size)?;
    connect(&mut shim, &firewall, client, server)?;
    let incoming = segment(Hook::Ingress, client, server, ACK);
    let outgoing = segment(Hook::Egress, client, server, ACK);
    let packets = effort.packets.max(size);
    let candidates = [
        Candidate::Empty,
        Candidate::Lru,
        Candidate::Firewall,
        Candidate::EmptyOut,
        Candidate::FirewallOut,
    ];
    let [empty, lru, inside, empty_out, out] = take_turns(effort.rounds, candidates, |candidate| {
        let (hook, target) = match candidate {
            Candidate::Empty => (Hook::Ingress, Target::Own(Own::Empty)),
            // It knows no IPv6; what it would take is not asked.
            Candidate::Lru if server.is_ipv6() => (Hook::Ingress, Target::Own(Own::Empty)),
            Candidate::Lru => (Hook::Ingress, Target::Own(Own::Lru)),
            Candidate::Firewall => (Hook::Ingress, Target::Firewall(&firewall.ingress)),
            Candidate::EmptyOut => (Hook::Egress, Target::Own(Own::Empty)),
            Candidate::FirewallOut => (Hook::Egress, Target::Firewall(&firewall.egress)),
        };
        let frame = if hook == Hook::Ingress {
            &incoming
        } else {
            &outgoing
        };
        let (code, nanoseconds) = shim.run(hook, target, frame, packets)?;
        ensure!(
            hook == Hook::Egress || code == PASS,
            "a packet was not passed: {code}"
        );
        Ok(nanoseconds)
    })?;
    let family = if server.is_ipv4() { "IPv4" } else { "IPv6" };
    let case = format!("live flow, {family}, {size} flows");
    let (inside, lru) = (inside.net_of(empty), lru.net_of(empty));
    report.add(
        Row::alone(format!("{case}, in"), inside).beside(server.is_ipv4().then_some(("bare LRU hash", lru))),
    );
    report.add(Row::alone(format!("{case}, out"), out.net_of(empty_out)).beside(Some(("in", inside))));
    Ok(())
}
