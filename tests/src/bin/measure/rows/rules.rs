//! First packets, which match only the last of many rules.

use anyhow::{Result, bail, ensure};
use firewall_common::{address::Family, wire::tcp::SYN};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{end, nets},
    netns::NetNs,
    rule_sets::{self, LAST_PORT, Shape},
};

use crate::{
    Bench,
    bpfilter::{self, BPFILTER},
    case::missing,
    firewall::Firewall,
    peers::{XDP_FILTER, XDP_FILTER_CAPACITY, XdpFilter},
    policies::of_rules,
    remotes::remotes,
    report::Report,
    results::{Case, Figure, Unit},
    rounds::{Effort, take_turns},
    shim::{Own, Shim, Target, Way},
    wire::Lane,
};

/// Numbers of rules of an access list, and the row that asks for them.
const SIZES: [(u16, u8); 6] = [(10, 3), (100, 4), (1000, 4), (5000, 5), (MANY, 6), (50_000, 6)];
/// Rules of the other shapes are this many, beside ten.
const MANY: u16 = 10_000;
const SEED: u64 = 1;
/// `XDP_DROP`
const DROP: u32 = 1;
const OF_TEN: &str = "10 rules";
/// Of neither family's addresses that rules before the last one speak of.
const CLIENTS: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// What is measured with.
struct Tools {
    shim: Shim,
    firewall: Firewall,
    xdp_filter: XdpFilter,
    _lane: Lane,
    _sender: NetNs,
}

impl Tools {
    fn new(object: &[u8]) -> Result<Self> {
        let sender = NetNs::unnamed()?;
        let lane = Lane::new(&sender)?;
        let sources = remotes(XDP_FILTER_CAPACITY).map(|remote| remote.v4());
        Ok(Self {
            shim: Shim::load(object, XDP_FILTER_CAPACITY)?,
            firewall: Firewall::load(&of_rules("")?, 0)?,
            xdp_filter: XdpFilter::new(&lane, sources)?,
            _lane: lane,
            _sender: sender,
        })
    }
}

/// Each shape, family and number of rules.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut tools = Tools::new(&bench.object)?;
    for shape in Shape::LIKE_CLASSBENCH {
        if shape != Shape::Acl && bench.effort.quick {
            continue;
        }
        for is_v4 in [true, false] {
            let mut ten = None;
            for (size, row) in SIZES {
                let is_asked = shape == Shape::Acl || size == 10 || size == MANY;
                if !is_asked || size > MANY && bench.effort.quick {
                    continue;
                }
                eprintln!("  {}", name(shape, is_v4, size));
                match figures(&mut tools, bench.effort, shape, is_v4, size) {
                    Ok((ours, xdp_filter)) => {
                        let ten = ten.get_or_insert_with(|| ours.clone()).clone();
                        let case = case(shape, is_v4, size, ours);
                        let case = if size < MANY { case } else { case.with(OF_TEN, ten) };
                        report.add(row, judged(case, is_v4, size, xdp_filter));
                    }
                    Err(error) => {
                        let name = name(shape, is_v4, size);
                        report.add(row, missing(&name, Unit::Nanoseconds, &error).works());
                    }
                }
            }
        }
    }
    Ok(())
}

fn name(shape: Shape, is_v4: bool, size: u16) -> String {
    let family = if is_v4 { "IPv4" } else { "IPv6" };
    format!("{shape}, {family}, last of {size} rules")
}

fn case(shape: Shape, is_v4: bool, size: u16, ours: Figure) -> Case {
    let family = if is_v4 { "IPv4" } else { "IPv6" };
    Case::new(name(shape, is_v4, size), Unit::Nanoseconds)
        .of_series(&format!("rules, {shape}, {family}"), size.into())
        .ours(ours)
}

fn judged(case: Case, is_v4: bool, size: u16, xdp_filter: Figure) -> Case {
    let case = case.scaled(BPFILTER, bpfilter::rules(is_v4, size, &xdp_filter));
    let case = if is_v4 {
        case.with(XDP_FILTER, xdp_filter)
    } else {
        case
    };
    match size {
        10 if is_v4 => case.better_than(1.0, BPFILTER),
        100 if is_v4 => case.better_than(1.2, BPFILTER),
        1000 => case.better_than(5.0, BPFILTER),
        5000 => case.better_than(20.0, BPFILTER),
        MANY => case.at_most_times(3.0, OF_TEN),
        50_000 => case.works(),
        _ => case,
    }
}

/// Ours and xdp-filter's, net of an empty program.
fn figures(
    tools: &mut Tools,
    effort: Effort,
    shape: Shape,
    is_v4: bool,
    size: u16,
) -> Result<(Figure, Figure)> {
    let (family, place) = if is_v4 { (Family::V4, 0) } else { (Family::V6, 1) };
    let rules = rule_sets::rules_before_last(shape, family, size.into(), SEED);
    ensure!(
        rules.len() == usize::from(size),
        "{} rules were drawn",
        rules.len()
    );
    tools.firewall.enforce(&rule_sets::policy(rules))?;
    let last = size - 1;
    let before = tools.firewall.matches(last)?;
    let candidates = [
        (Way::Xdp, Target::Own(Own::Empty), syn(place)?),
        (Way::Xdp, Target::Other(&tools.firewall.ingress), syn(place)?),
        // It is asked for IPv4 sources only.
        (Way::PlainXdp, Target::Own(Own::Empty), syn(0)?),
        (Way::PlainXdp, Target::Other(tools.xdp_filter.program()), syn(0)?),
    ];
    let shim = &mut tools.shim;
    let figures = take_turns(effort.rounds, &[0, 1, 2, 3], |candidate: usize| {
        let (way, target, frame) = &candidates[candidate];
        let (code, nanoseconds) = shim.run(*way, *target, frame, effort.packets)?;
        let is_empty = matches!(target, Target::Own(_));
        ensure!(is_empty || code == DROP, "a packet was not dropped: {code}");
        Ok(nanoseconds)
    })?;
    let decided = tools.firewall.matches(last)? - before;
    let sent = u64::from(effort.packets) * effort.rounds as u64;
    ensure!(
        decided == sent,
        "the last rule has dropped {decided} of {sent} packets"
    );
    let [empty, ours, empty_plain, peer] = &figures[..] else {
        bail!("a candidate has no figure");
    };
    Ok((ours.net_of(empty), peer.net_of(empty_plain)))
}

/// A first packet of a client of the family at this place, for the last rule.
fn syn(place: usize) -> Result<Vec<u8>> {
    let (client, server) = (CLIENTS[place].parse()?, nets()[place].server);
    Ok(Packet::tcp(end(client, 40_000), end(server, LAST_PORT), &Segment::new(SYN)).frame())
}
