//! Packets of live flows, in both directions.

use std::net::IpAddr;

use anyhow::{Result, bail, ensure};
use firewall_common::{
    counters::Hook,
    wire::tcp::{ACK, SYN},
};
use firewall_tests::{
    frames::{Packet, Segment},
    host::end,
};

use crate::{
    Bench,
    case::not_measured,
    chase::Chase,
    firewall::Firewall,
    policies::{LOAD_BALANCER_ADDRESSES, load_balancer},
    report::Report,
    results::{Case, Figure, Unit},
    rounds::{Effort, take_turns},
    shim::{Own, Shim, Target, Way},
};

const PORT: u16 = 443;
/// Addresses in the block list.
pub(super) const LISTED: u32 = 1_000_000;
const ATTEMPTS: u32 = 8;
const CLIENTS: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
/// `XDP_PASS`
const PASS: u32 = 2;
const LRU: &str = "bare LRU hash";
/// Of an array as large as the table of flows. The processor goes on to the next packets while it waits for one.
const LINE: &str = "one line of an array";
/// The floor of a program that is longer than the processor looks ahead: the wait for one of as many lines as there are
/// flows, in memory as large as their table.
const WAIT: &str = "wait for one line";
/// Cache lines in a bucket of the table of flows.
const BUCKET_LINES: u32 = 8;

/// A segment of a client at `remote`, or the server's to it.
pub(super) fn segment(hook: Hook, remote: IpAddr, server: (IpAddr, u16), flags: u8) -> Vec<u8> {
    let (client, server) = (end(remote, 40_000), end(server.0, server.1));
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
    Line,
    Wait,
    Firewall,
    EmptyOut,
    FirewallOut,
}

/// Net of an empty program at the same hook.
struct Figures {
    lru: Figure,
    line: Figure,
    wait: Figure,
    inside: Figure,
    out: Figure,
}

/// Each size and family.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let most = bench.effort.either(2, 1);
    for (place, size) in SIZES.into_iter().enumerate() {
        let row = if place == 2 { 2 } else { 1 };
        if place > most {
            let reason = anyhow::anyhow!("a full run does");
            report.add(row, not_measured(&name("IPv4", size), &reason));
            continue;
        }
        eprintln!("  {size} flows");
        let [v4, v6] = [0, 1].map(|family| {
            let parse = |text: &str| text.parse::<IpAddr>();
            let (client, server) = (parse(CLIENTS[family])?, parse(LOAD_BALANCER_ADDRESSES[family])?);
            figures(&bench.object, bench.effort, size, client, server)
        });
        add(report, row, size, v4?, v6?);
    }
    Ok(())
}

fn name(family: &str, size: u32) -> String {
    format!("{family}, {size} flows")
}

fn add(report: &mut Report, row: u8, size: u32, v4: Figures, v6: Figures) {
    let case = |family: &str| {
        Case::new(name(family, size), Unit::Nanoseconds)
            .of_series(&format!("live flows, {family}"), size.into())
    };
    let most = match size {
        1_000 => 0.45,
        100_000 => 1.0 / 3.0,
        _ => 0.5,
    };
    let beside_v4 = "IPv4";
    report.add(
        row,
        case("IPv4")
            .ours(v4.inside.clone())
            .with(LRU, v4.lru)
            .with(LINE, v4.line)
            .with(WAIT, v4.wait)
            .at_most_times(most, LRU),
    );
    let beside = case("IPv6")
        .ours(v6.inside.clone())
        .with(beside_v4, v4.inside.clone());
    report.add(
        row,
        if row == 1 {
            beside.at_most_times(1.4, beside_v4)
        } else {
            beside
        },
    );
    for (family, figures) in [("IPv4", (v4.out, v4.inside)), ("IPv6", (v6.out, v6.inside))] {
        let (out, inside) = figures;
        let case = Case::new(name(family, size), Unit::Nanoseconds)
            .of_series(&format!("live flows out, {family}"), size.into());
        report.add(
            14,
            case.ours(out)
                .with("incoming", inside)
                .at_most_times(1.2, "incoming"),
        );
    }
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
            let (way, program) = match hook {
                Hook::Ingress => (Way::Xdp, &firewall.ingress),
                Hook::Egress => (Way::Tc, &firewall.egress),
            };
            let frame = segment(hook, client, (server, PORT), flags);
            shim.run(way, Target::Other(program), &frame, shim.count())?;
        }
        // A few find both their buckets full.
        if firewall.assured_flows()? >= shim.count() - shim.count() / 500 {
            return Ok(());
        }
    }
    bail!("{} of {} flows are live", firewall.assured_flows()?, shim.count());
}

fn figures(object: &[u8], effort: Effort, size: u32, client: IpAddr, server: IpAddr) -> Result<Figures> {
    let firewall = Firewall::load(&load_balancer(&[], LISTED)?, size)?;
    let lines = firewall.flow_buckets()? * BUCKET_LINES;
    let mut shim = Shim::with_lines(object, size, lines)?;
    let chase = Chase::new(lines, size);
    shim.fill_lru(server, PORT)?;
    connect(&mut shim, &firewall, client, server)?;
    let incoming = segment(Hook::Ingress, client, (server, PORT), ACK);
    let outgoing = segment(Hook::Egress, client, (server, PORT), ACK);
    let packets = effort.packets.max(size);
    let candidates = [
        Candidate::Empty,
        Candidate::Lru,
        Candidate::Line,
        Candidate::Wait,
        Candidate::Firewall,
        Candidate::EmptyOut,
        Candidate::FirewallOut,
    ];
    let figures = take_turns(effort.rounds, &candidates, |candidate| {
        let (way, target) = match candidate {
            Candidate::Wait => {
                chase.run(size);
                return Ok(chase.run(packets));
            }
            Candidate::Empty => (Way::Xdp, Target::Own(Own::Empty)),
            // They know no IPv6; what they would take is not asked.
            Candidate::Lru | Candidate::Line if server.is_ipv6() => (Way::Xdp, Target::Own(Own::Empty)),
            Candidate::Lru => (Way::Xdp, Target::Own(Own::Lru)),
            Candidate::Line => (Way::Xdp, Target::Own(Own::Line)),
            Candidate::Firewall => (Way::Xdp, Target::Other(&firewall.ingress)),
            Candidate::EmptyOut => (Way::Tc, Target::Own(Own::Empty)),
            Candidate::FirewallOut => (Way::Tc, Target::Other(&firewall.egress)),
        };
        let frame = if way == Way::Xdp { &incoming } else { &outgoing };
        // Once over all flows before it counts: a table in use is not one that another candidate has just put out of the
        // cache.
        let flows = shim.count();
        shim.run(way, target, frame, flows)?;
        let (code, nanoseconds) = shim.run(way, target, frame, packets)?;
        ensure!(way == Way::Tc || code == PASS, "a packet was not passed: {code}");
        Ok(nanoseconds)
    })?;
    let [empty, lru, line, wait, inside, empty_out, out] = &figures[..] else {
        bail!("a candidate has no figure");
    };
    Ok(Figures {
        lru: lru.net_of(empty),
        line: line.net_of(empty),
        wait: wait.clone(),
        inside: inside.net_of(empty),
        out: out.net_of(empty_out),
    })
}
