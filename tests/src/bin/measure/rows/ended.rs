//! Flows that end: all of a full table idle out at once, and as many others come, packet by packet.
//!
//! No agent is at work: what has ended gives way in the kernel, where a new flow needs its place. Each packet is run and
//! timed alone, so that the longest is known; what the machine itself adds to that shows beside, by a program that reads
//! the clock for as long.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use firewall_common::{
    counters::Hook,
    wire::tcp::{ACK, SYN},
};

use super::live::{LISTED, segment};
use crate::{
    Bench,
    case::missing,
    firewall::Firewall,
    policies::{LOAD_BALANCER_ADDRESSES, load_balancer},
    report::Report,
    results::{Case, Figure, Unit},
    shim::{Shim, Singles, Target, Way},
};

const CLOCK: &str = "a program that reads the clock";
const FREE: &str = "into places that were free";
const CLIENT: &str = "192.0.2.1";
/// Of each generation of flows, in turn; the policy allows both.
const PORTS: [u16; 2] = [443, 80];
/// Longer than any flow of the policy may be idle.
const IDLE_SECONDS: u32 = 25 * 3600;
/// The first finds free places; of the others there is a middle one.
const GENERATIONS: usize = 4;
/// Times that clients come: some push each other out of the table of half-open flows, as a flood would.
const ATTEMPTS: usize = 2;
/// Longest time of a packet that is no stall, in microseconds.
const STALL: f64 = 1000.0;
/// Flows that may find both their buckets full: one of so many.
const REFUSED_OF: u32 = 200;

/// What one generation took.
struct Generation {
    packets: Singles,
    /// For how long the machine kept a program from the clock that read it for as long as the packets took together.
    pauses: Singles,
    /// Milliseconds of each time that the agent's library read the table, packets running beside.
    scans: Vec<f64>,
    /// Flows that are live at its end.
    live: u32,
}

/// Generations of a million flows, in a first look of fewer.
#[expect(
    clippy::unnecessary_wraps,
    reason = "all rows are measured by functions of one type"
)]
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let size = bench.effort.either(1_000_000, 100_000);
    let name = format!("{size} flows end and as many come");
    match generations(bench, size) {
        Ok(generations) => add(report, size, &name, &generations),
        Err(error) => report.add(2, missing(&name, Unit::Microseconds, &error).at_most(STALL)),
    }
    Ok(())
}

fn generations(bench: &Bench, size: u32) -> Result<Vec<Generation>> {
    let server: IpAddr = LOAD_BALANCER_ADDRESSES[0].parse()?;
    let client: IpAddr = CLIENT.parse()?;
    let mut shim = Shim::load(&bench.object, size)?;
    let firewall = Firewall::load_with_own_clock(&load_balancer(&[], LISTED)?, size)?;
    let ports = PORTS.into_iter().cycle();
    ports
        .take(GENERATIONS)
        .map(|port| {
            firewall.wait(IDLE_SECONDS)?;
            ensure!(firewall.assured_flows()? == 0, "flows of before are live");
            generation(&mut shim, &firewall, client, server, port)
        })
        .collect()
}

/// Connects all clients, while the table is read again and again.
fn generation(
    shim: &mut Shim,
    firewall: &Firewall,
    client: IpAddr,
    server: IpAddr,
    port: u16,
) -> Result<Generation> {
    let frame = segment(Hook::Ingress, client, (server, port), SYN);
    let (packets, pauses, scans) = thread::scope(|scope| {
        let opening = scope.spawn(|| {
            let packets = open(shim, firewall, client, (server, port))?;
            let pauses = shim.pauses(&frame, together(&packets))?;
            anyhow::Ok((packets, pauses))
        });
        let mut scans = Vec::new();
        while !opening.is_finished() {
            let start = Instant::now();
            firewall.assured_flows()?;
            scans.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let (packets, pauses) = opening.join().ok().context("the clients' thread")??;
        anyhow::Ok((packets, pauses, scans))
    })?;
    Ok(Generation {
        packets,
        pauses,
        scans,
        live: firewall.assured_flows()?,
    })
}

/// What all the packets took.
fn together(packets: &Singles) -> Duration {
    Duration::from_secs_f64(packets.nanoseconds.iter().sum::<f64>() / 1e9)
}

/// The packets of the handshakes.
fn open(shim: &mut Shim, firewall: &Firewall, client: IpAddr, server: (IpAddr, u16)) -> Result<Singles> {
    let mut packets = Singles::default();
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
            let frame = segment(hook, client, server, flags);
            packets.append(shim.run_each(way, Target::Other(program), &frame)?);
        }
    }
    Ok(packets)
}

fn add(report: &mut Report, size: u32, name: &str, generations: &[Generation]) {
    let Some((first, later)) = generations.split_first() else {
        return;
    };
    let longest = |of: fn(&Generation) -> &Singles| {
        let longest = later.iter().map(|generation| {
            let packets = of(generation).nanoseconds.iter();
            packets.fold(0.0, |most, one| f64::max(most, *one))
        });
        Figure::of(longest.map(|nanoseconds| nanoseconds / 1000.0).collect())
    };
    let all = Figure::of(
        later
            .iter()
            .flat_map(|generation| generation.packets.nanoseconds.clone())
            .collect(),
    );
    let (ours, pauses) = (longest(|one| &one.packets), longest(|one| &one.pauses));
    let most = |figure: &Figure| figure.rounds.iter().fold(0.0, |most, one| f64::max(most, *one));
    let (longest_packet, longest_pause) = (most(&ours), most(&pauses));
    let interrupted: usize = later
        .iter()
        .map(|generation| generation.packets.interrupted)
        .sum();
    report.add(
        2,
        Case::new(format!("{name}: longest packet"), Unit::Microseconds)
            .ours(ours)
            .with(CLOCK, pauses)
            .at_most(STALL)
            .note(format!(
                "each of {} packets was run alone; {interrupted} more do not count, for a part of whose time another process or another guest of the host had the processor; of each generation the longest counts; the longest of all took {longest_packet:.0} µs, one of 10,000 more than {:.1} µs; a program that does nothing but read the clock, for as long beside the same scans, was once kept from it for {longest_pause:.0} µs",
                all.rounds.len(),
                share(&all.rounds, 0.9999) / 1000.0,
            )),
    );
    report.add(
        2,
        Case::new(format!("{name}: packet of a handshake"), Unit::Nanoseconds)
            .ours(without_rounds(&all))
            .with(
                FREE,
                without_rounds(&Figure::of(first.packets.nanoseconds.clone())),
            ),
    );
    let live = Figure::of(
        later
            .iter()
            .map(|generation| f64::from(generation.live))
            .collect(),
    );
    report.add(
        2,
        Case::new(format!("{name}: flows that are live then"), Unit::Count)
            .ours(live)
            .at_least(f64::from(size - size / REFUSED_OF)),
    );
    let scans = later
        .iter()
        .flat_map(|generation| generation.scans.clone())
        .collect();
    let longest = |scans: &Vec<f64>| scans.iter().fold(0.0, |most, one| f64::max(most, *one));
    let note = format!(
        "the longest took {:.0} ms; packets do not wait for it, and ran meanwhile",
        longest(&scans)
    );
    report.add(
        2,
        Case::new(
            format!("{name}: the agent reads both tables meanwhile"),
            Unit::Milliseconds,
        )
        .ours(without_rounds(&Figure::of(scans)))
        .note(note),
    );
}

/// What this share of the figures does not exceed.
fn share(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place among millions"
    )]
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place).or(sorted.last()).copied().unwrap_or(f64::NAN)
}

/// Of millions of single packets there is nothing more to keep.
fn without_rounds(figure: &Figure) -> Figure {
    Figure {
        median: figure.median,
        lower: figure.lower,
        upper: figure.upper,
        rounds: vec![figure.median],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_figures_is_not_exceeded() {
        let figures: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert!((share(&figures, 0.9) - 90.0).abs() < 0.1);
        assert!((share(&figures, 1.0) - 99.0).abs() < 0.1);
        assert!(share(&[], 0.5).is_nan());
    }
}
