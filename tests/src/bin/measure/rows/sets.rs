//! First packets that a block list drops, or does not.

use anyhow::{Result, bail, ensure};
use firewall_agent::policy::model::ValidPolicy;
use firewall_common::wire::tcp::SYN;
use firewall_tests::{
    frames::{Packet, Segment},
    host::{end, nets},
    netns::NetNs,
};

use crate::{
    Bench,
    bpfilter::{self, BPFILTER},
    case::not_measured,
    firewall::Firewall,
    peers::{XDP_FILTER, XDP_FILTER_CAPACITY, XdpFilter},
    policies::block_list,
    prefixes::mixed,
    remotes::{remotes, strangers},
    report::Report,
    results::{Case, Figure, Unit},
    rounds::take_turns,
    shim::{Own, Shim, Target, Way},
    wire::Lane,
};

const SIZES: [u32; 3] = [10_000, 100_000, 1_000_000];
const MILLION: u32 = 1_000_000;
const PORT: u16 = 443;
const LPM: &str = "LPM trie";
/// Bytes of a mebibyte.
const MEBIBYTE: f64 = 1_048_576.0;
/// `XDP_DROP`
const DROP: u32 = 1;

/// Net of an empty program.
struct Figures {
    ours: Figure,
    lpm: Figure,
    xdp_filter: Figure,
}

/// Addresses and prefixes of each size, hit and missed.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let sender = NetNs::unnamed()?;
    let lane = Lane::new(&sender)?;
    let few = remotes(XDP_FILTER_CAPACITY).map(|remote| remote.v4());
    let xdp_filter = XdpFilter::new(&lane, few)?;
    for size in SIZES {
        if size < MILLION && bench.effort.quick {
            continue;
        }
        eprintln!("  {size} addresses");
        let list: Vec<_> = remotes(size).map(|remote| (remote.v4(), 32)).collect();
        let name = format!("{size} addresses");
        addresses(bench, &xdp_filter, &list, &name, report)
            .unwrap_or_else(|error| report.add(7, not_measured(&name, &error)));
    }
    eprintln!("  {MILLION} prefixes");
    let name = format!("{MILLION} mixed prefixes");
    prefixes(bench, &xdp_filter, &name, report)
        .unwrap_or_else(|error| report.add(7, not_measured(&name, &error)));
    Ok(())
}

fn addresses(
    bench: &Bench,
    xdp_filter: &XdpFilter,
    list: &[([u8; 4], u8)],
    name: &str,
    report: &mut Report,
) -> Result<()> {
    let size = u32::try_from(list.len())?;
    let others: Vec<_> = strangers(size).map(|address| (address, 32)).collect();
    for is_hit in [true, false] {
        let list = if is_hit { list } else { &others };
        let policy = block_list(list.iter().copied())?;
        let figures = figures(bench, xdp_filter, &policy, list, is_hit)?;
        let word = if is_hit { "hit" } else { "missed" };
        let case = Case::new(format!("{name}, {word}"), Unit::Nanoseconds)
            .of_series(&format!("addresses, {word}"), size.into())
            .ours(figures.ours)
            .with(LPM, figures.lpm)
            .scaled(BPFILTER, bpfilter::set(size, &figures.xdp_filter))
            .with(XDP_FILTER, figures.xdp_filter);
        let case = if size == MILLION {
            case.better_than(4.0, BPFILTER).better_than(8.0, LPM)
        } else {
            case
        };
        report.add(7, case);
    }
    if size == MILLION {
        report.add(7, memory(name, &block_list(list.iter().copied())?)?);
    }
    Ok(())
}

fn prefixes(bench: &Bench, xdp_filter: &XdpFilter, name: &str, report: &mut Report) -> Result<()> {
    let list = mixed(MILLION);
    let policy = block_list(list.iter().copied())?;
    let figures = figures(bench, xdp_filter, &policy, &list, true)?;
    let case = Case::new(format!("{name}, hit"), Unit::Nanoseconds)
        .of_series("mixed prefixes, hit", MILLION.into())
        .ours(figures.ours)
        .with(LPM, figures.lpm)
        .scaled(BPFILTER, bpfilter::set(MILLION, &figures.xdp_filter))
        .better_than(4.0, BPFILTER)
        .better_than(8.0, LPM);
    report.add(7, case);
    report.add(7, memory(name, &policy)?);
    Ok(())
}

/// What the list takes in the kernel's maps, of what the settings have them hold.
fn memory(name: &str, policy: &ValidPolicy) -> Result<Case> {
    let bytes = Firewall::load(policy, 0)?.list_bytes()?;
    #[expect(clippy::cast_precision_loss, reason = "memory has less than 2^52 bytes")]
    let mebibytes = bytes as f64 / MEBIBYTE;
    Ok(Case::new(format!("{name}, kernel memory"), Unit::Mebibytes)
        .ours(Figure::of(vec![mebibytes]))
        .at_most(64.0))
}

fn figures(
    bench: &Bench,
    xdp_filter: &XdpFilter,
    policy: &ValidPolicy,
    list: &[([u8; 4], u8)],
    is_hit: bool,
) -> Result<Figures> {
    let effort = bench.effort;
    let count = u32::try_from(list.len())?;
    let mut shim = Shim::load(&bench.object, count)?;
    shim.fill_lpm(list)?;
    // xdp-filter is asked for addresses that it has, as where the figures of elsewhere come from.
    let mut few = Shim::load(&bench.object, XDP_FILTER_CAPACITY)?;
    let firewall = Firewall::load(policy, 0)?;
    let [v4, _] = nets();
    let frame = Packet::tcp(end(v4.client, 40_000), end(v4.server, PORT), &Segment::new(SYN)).frame();
    let candidates = [
        (Way::Xdp, Target::Own(Own::Empty)),
        (Way::Xdp, Target::Other(&firewall.ingress)),
        (Way::Xdp, Target::Own(Own::Lpm)),
        (Way::PlainXdp, Target::Own(Own::Empty)),
        (Way::PlainXdp, Target::Other(xdp_filter.program())),
    ];
    let figures = take_turns(effort.rounds, &[0, 1, 2, 3, 4], |candidate: usize| {
        let (way, target) = candidates[candidate];
        let shim = if way == Way::PlainXdp { &mut few } else { &mut shim };
        let packets = effort.either(effort.packets.max(shim.count()), effort.packets);
        let (code, nanoseconds) = shim.run(way, target, &frame, packets)?;
        let dropped = matches!(target, Target::Own(Own::Empty)) || !is_hit || code == DROP;
        ensure!(dropped, "a packet was not dropped: {code}");
        Ok(nanoseconds)
    })?;
    let listed = firewall.listed()?;
    ensure!(
        is_hit == (listed > 0),
        "the block list has dropped {listed} packets"
    );
    let [empty, ours, lpm, empty_plain, peer] = &figures[..] else {
        bail!("a candidate has no figure");
    };
    Ok(Figures {
        ours: ours.net_of(empty),
        lpm: lpm.net_of(empty),
        xdp_filter: peer.net_of(empty_plain),
    })
}
