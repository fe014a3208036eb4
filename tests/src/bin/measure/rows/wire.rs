//! Frames that are dropped by lists and by rules, over veth.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Result, ensure};
use firewall_tests::{
    frames::Packet,
    host::{end, nets},
};

use crate::{
    Bench,
    bpfilter::{self, BPFILTER},
    case::not_measured,
    peers::{IpSet, IpTables, Nft, Ours, Peer, Trivial, XDP_FILTER, XDP_FILTER_CAPACITY, XdpFilter},
    plain_rule::{PORT, drop_rules},
    policies::{block_list, plain},
    remotes::remotes,
    report::Report,
    results::{Case, Figure, OURS, Unit},
    rounds::{Effort, take_turns},
    wire::{Lane, Sender},
};

/// What drops the frames, of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Load {
    Nothing,
    Addresses(u32),
    Prefixes(u32),
    Rules(u16),
}

/// A candidate behind its lane.
struct Receiver {
    lane: Lane,
    peer: Box<dyn Peer>,
    /// Sources that frames are sent from.
    sources: u32,
}

type Key = (Load, &'static str);

const TRIVIAL: &str = "trivial XDP";
const NFT: &str = "nftables";
const CONCATENATED: &str = "nftables, concatenated set";
const IPSET: &str = "ipset";
const IPTABLES: &str = "iptables";
/// Sources where nothing depends on them.
const SOME: u32 = 10_000;
const MOST: u32 = 1_000_000;
/// Length of the prefixes of a list, in bits.
const PREFIX_BITS: u8 = 24;

/// Candidates, and whether a first look has them, too.
const CANDIDATES: [(Key, bool); 24] = [
    ((Load::Nothing, TRIVIAL), true),
    ((Load::Addresses(10_000), OURS), true),
    ((Load::Addresses(10_000), XDP_FILTER), true),
    ((Load::Addresses(10_000), NFT), false),
    ((Load::Addresses(100_000), OURS), true),
    ((Load::Addresses(100_000), NFT), true),
    ((Load::Addresses(1_000_000), OURS), true),
    ((Load::Addresses(1_000_000), NFT), true),
    ((Load::Addresses(1_000_000), IPSET), true),
    ((Load::Prefixes(100_000), OURS), true),
    ((Load::Prefixes(100_000), NFT), true),
    ((Load::Prefixes(100_000), IPSET), true),
    ((Load::Rules(1), OURS), false),
    ((Load::Rules(1), NFT), false),
    ((Load::Rules(100), OURS), false),
    ((Load::Rules(100), NFT), true),
    ((Load::Rules(1000), OURS), true),
    ((Load::Rules(1000), NFT), true),
    ((Load::Rules(1000), IPTABLES), true),
    ((Load::Rules(10_000), OURS), true),
    ((Load::Rules(10_000), NFT), false),
    ((Load::Rules(10_000), IPTABLES), true),
    ((Load::Rules(10_000), CONCATENATED), true),
    ((Load::Rules(100), IPTABLES), false),
];

/// Both rows.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut sender = Sender::new(&bench.object, frame(), MOST)?;
    let mut receivers = BTreeMap::new();
    for (key, quick) in CANDIDATES {
        if bench.effort.quick && !quick {
            continue;
        }
        let start = Instant::now();
        match receiver(bench, &sender, key) {
            Ok(receiver) => {
                let seconds = start.elapsed().as_secs_f64();
                eprintln!("  {}, {:?}: {seconds:.1} s", key.1, key.0);
                receivers.insert(key, receiver);
            }
            Err(error) => {
                eprintln!("  not measured: {error:#}");
                let name = format!("{} with {:?}", key.1, key.0);
                report.add(row(key.0), not_measured(&name, &error));
            }
        }
    }
    let figures = figures(&mut sender, &receivers, bench.effort)?;
    add(&figures, report);
    Ok(())
}

/// A datagram of 18 bytes from anywhere to the receivers, without a checksum of its own (RFC 768).
fn frame() -> Vec<u8> {
    let [v4, _] = nets();
    let mut frame = Packet::udp(end(v4.client, 40_000), end(v4.server, PORT), 18).frame();
    frame[40..42].fill(0);
    frame
}

const fn row(load: Load) -> u8 {
    match load {
        Load::Rules(_) => 9,
        _ => 8,
    }
}

/// Sets a candidate up behind a lane of its own.
fn receiver(bench: &Bench, sender: &Sender, (load, who): Key) -> Result<Receiver> {
    let lane = Lane::new(&sender.namespace)?;
    let (sources, peer) = match load {
        Load::Nothing => (
            SOME,
            Box::new(Trivial::new(&bench.object, &lane)?) as Box<dyn Peer>,
        ),
        Load::Addresses(count) => (count, by_addresses(&lane, who, count)?),
        Load::Prefixes(count) => (count, by_prefixes(&lane, who, count)?),
        Load::Rules(count) => (SOME, by_rules(&lane, who, count)?),
    };
    Ok(Receiver { lane, peer, sources })
}

fn by_addresses(lane: &Lane, who: &str, count: u32) -> Result<Box<dyn Peer>> {
    let addresses = remotes(count).map(|remote| remote.v4());
    Ok(match who {
        XDP_FILTER => Box::new(XdpFilter::new(lane, addresses)?),
        NFT => Box::new(Nft::addresses(lane, addresses)?),
        IPSET => Box::new(IpSet::addresses(lane, addresses)?),
        _ => Box::new(Ours::list(
            lane,
            block_list(addresses.map(|address| (address, 32)))?,
        )?),
    })
}

fn by_prefixes(lane: &Lane, who: &str, count: u32) -> Result<Box<dyn Peer>> {
    let prefixes = remotes(count).map(|remote| {
        let [a, b, c, _] = remote.v4();
        ([a, b, c, 0], PREFIX_BITS)
    });
    Ok(match who {
        NFT => Box::new(Nft::prefixes(lane, prefixes)?),
        IPSET => Box::new(IpSet::prefixes(lane, prefixes)?),
        _ => Box::new(Ours::list(lane, block_list(prefixes)?)?),
    })
}

fn by_rules(lane: &Lane, who: &str, count: u16) -> Result<Box<dyn Peer>> {
    let rules = drop_rules(count - 1);
    Ok(match who {
        NFT => Box::new(Nft::linear(lane, &rules)?),
        CONCATENATED => Box::new(Nft::concatenated(
            lane,
            remotes(count.into()).map(|remote| remote.v4()),
        )?),
        IPTABLES => Box::new(IpTables::linear(lane, &rules)?),
        _ => Box::new(Ours::rules(lane, plain(&rules)?, count - 1)?),
    })
}

/// All candidates' figures; what each says of itself has to agree with what has arrived.
fn figures(
    sender: &mut Sender,
    receivers: &BTreeMap<Key, Receiver>,
    effort: Effort,
) -> Result<BTreeMap<Key, Figure>> {
    let keys: Vec<_> = receivers.keys().copied().collect();
    let mut before = BTreeMap::new();
    for (key, receiver) in receivers {
        // What is only made at the first packets.
        turn(sender, receiver, effort.packets / 10)?;
        before.insert(*key, receiver.peer.dropped(&receiver.lane)?);
    }
    let mut taken: BTreeMap<Key, u64> = BTreeMap::new();
    let figures = take_turns(effort.rounds, &keys, |key| {
        let (cost, packets) = turn(sender, &receivers[&key], effort.packets * 2)?;
        *taken.entry(key).or_default() += packets;
        Ok(cost)
    })?;
    for (key, receiver) in receivers {
        let dropped = receiver.peer.dropped(&receiver.lane)? - before[key];
        let taken = taken[key];
        // Beside ours there are a few packets that interfaces send by themselves.
        ensure!(
            dropped <= taken && taken - dropped <= taken / 100 + 16,
            "{} with {:?} has dropped {dropped} of {taken} packets",
            key.1,
            key.0
        );
    }
    Ok(keys.into_iter().zip(figures).collect())
}

fn turn(sender: &mut Sender, receiver: &Receiver, frames: u32) -> Result<(f64, u64)> {
    receiver
        .lane
        .cost(|| sender.send(&receiver.lane, frames, receiver.sources))
}

/// The cases, as far as there are figures.
fn add(figures: &BTreeMap<Key, Figure>, report: &mut Report) {
    let xdp_filter = figures.get(&(Load::Addresses(XDP_FILTER_CAPACITY), XDP_FILTER));
    let case = |load: Load, name: &str, size: u64, series: &str| {
        let mut case = Case::new(name, Unit::Nanoseconds).of_series(series, size);
        let ours = figures.get(&(load, OURS));
        case = case.with_some(OURS, ours.cloned());
        for ((_, who), figure) in figures
            .iter()
            .filter(|((other, who), _)| *other == load && *who != OURS)
        {
            case = case.with(who, figure.clone());
        }
        case
    };
    for size in [10_000, 100_000, 1_000_000] {
        let scaled = xdp_filter.and_then(|figure| bpfilter::set_over_veth(size, figure));
        let name = format!("{size} addresses");
        let case = case(Load::Addresses(size), &name, size.into(), "addresses over veth")
            .with_some(TRIVIAL, figures.get(&(Load::Nothing, TRIVIAL)).cloned())
            .scaled(BPFILTER, scaled);
        report.add(
            8,
            match size {
                10_000 => case.better_than(1.2, XDP_FILTER),
                100_000 => case.better_than(2.4, BPFILTER).better_than(4.5, NFT),
                _ => case.better_than(2.0, BPFILTER).better_than(3.4, NFT),
            },
        );
    }
    let prefixes = case(
        Load::Prefixes(100_000),
        "100000 prefixes",
        100_000,
        "prefixes over veth",
    )
    .scaled(BPFILTER, xdp_filter.map(bpfilter::prefixes_over_veth))
    .better_than(3.0, BPFILTER)
    .better_than(6.0, NFT);
    report.add(8, prefixes);
    for size in [1, 100, 1000, 10_000] {
        let scaled = xdp_filter.and_then(|figure| bpfilter::rules_over_veth(size, figure));
        let name = format!("last of {size} rules");
        let case = case(Load::Rules(size), &name, size.into(), "rules over veth").scaled(BPFILTER, scaled);
        let case = match size {
            1000 => case.better_than(3.5, BPFILTER).better_than(100.0, NFT),
            10_000 => case.better_than(1.8, CONCATENATED).better_than(90.0, IPTABLES),
            _ => case,
        };
        if !case.entries.is_empty() {
            report.add(9, case);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_as_short_as_ethernet_has_them() {
        assert_eq!(frame().len(), 60);
        assert_eq!(frame()[40..42], [0, 0]);
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let mut report = Report::default();
        add(&BTreeMap::new(), &mut report);
        let checks = report.results.rows[0].cases.iter().flat_map(|case| &case.checks);
        assert!(checks.clone().count() >= 7);
        assert!(checks.into_iter().all(|check| check.value.is_none()));
    }

    #[test]
    fn peers_are_set_beside_us() {
        let figure = |value| Figure::of(vec![value]);
        let mut report = Report::default();
        let load = Load::Addresses(100_000);
        let figures = [
            ((load, OURS), figure(100.0)),
            ((load, NFT), figure(500.0)),
            ((Load::Addresses(10_000), XDP_FILTER), figure(152.0)),
        ];
        add(&figures.into(), &mut report);
        let case = &report.results.rows[0].cases[1];
        let values: Vec<_> = case.checks.iter().map(|check| (check.value, check.met)).collect();
        assert_eq!(values, [(Some(3.76), true), (Some(5.0), true)]);
    }
}
