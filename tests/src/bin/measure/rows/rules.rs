//! First packets, which match only the last of many rules.

use std::fmt::Write;

use anyhow::{Result, bail, ensure};
use firewall_common::wire::tcp::SYN;
use firewall_tests::{
    frames::{Packet, Segment},
    host::{Net, end, nets},
    netns::NetNs,
    random::Random,
};

use crate::{
    Bench,
    bpfilter::{self, BPFILTER},
    case::not_measured,
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

/// Numbers of rules, and the row that asks for them.
const SIZES: [(u16, u8); 6] = [(10, 3), (100, 4), (1000, 4), (5000, 5), (10_000, 6), (50_000, 6)];
const SEED: u64 = 1;
/// The last rule's port; no other rule has it.
const PORT: u16 = 4443;
/// `XDP_DROP`
const DROP: u32 = 1;
const OF_TEN: &str = "10 rules";

/// So many rules of single sources, prefixes and ports, and one that drops what is measured.
fn policy(count: u16) -> Result<String> {
    let mut random = Random::new(SEED);
    let mut text = String::new();
    for number in 1..count {
        let port = 1 + random.below(4000);
        // No two rules are the same.
        let (a, b) = (number / 256, number % 256);
        let source = match random.below(3) {
            0 => format!("\"203.0.{a}.{b}\""),
            1 => format!("\"100.{a}.{b}.0/24\""),
            _ => format!("[\"203.0.{a}.{b}\", \"2001:db8:{a:x}::{b:x}\"]"),
        };
        let word = if random.percent(50) { "allow" } else { "drop" };
        writeln!(
            text,
            "[[rule]]\nname = \"r{number}\"\n{word} = \"tcp/{port}\"\nfrom = {source}\n"
        )?;
    }
    write!(
        text,
        "[[rule]]\nname = \"last\"\ndrop = \"tcp/{PORT}\"\nfrom = \"any\"\n"
    )?;
    Ok(text)
}

/// Each number of rules and family.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut shim = Shim::load(&bench.object, XDP_FILTER_CAPACITY)?;
    let sender = NetNs::unnamed()?;
    let lane = Lane::new(&sender)?;
    let sources = remotes(XDP_FILTER_CAPACITY).map(|remote| remote.v4());
    let xdp_filter = XdpFilter::new(&lane, sources)?;
    let mut firewall = Firewall::load(&of_rules("")?, 0)?;
    let mut of_ten = [None, None];
    for (size, row) in SIZES {
        if size > 10_000 && bench.effort.quick {
            continue;
        }
        eprintln!("  {size} rules");
        let enforced = policy(size)
            .and_then(|text| of_rules(&text))
            .and_then(|policy| firewall.enforce(&policy));
        if let Err(error) = enforced {
            report.add(row, not_measured(&format!("{size} rules"), &error).works());
            continue;
        }
        for (net, of_ten) in nets().into_iter().zip(&mut of_ten) {
            let (ours, peer) = figures(&mut shim, &firewall, &xdp_filter, bench.effort, net, size)?;
            let ten = of_ten.get_or_insert_with(|| ours.clone()).clone();
            report.add(row, case(size, net.server.is_ipv4(), ours, peer, ten));
        }
    }
    Ok(())
}

fn case(size: u16, is_v4: bool, ours: Figure, xdp_filter: Figure, ten: Figure) -> Case {
    let family = if is_v4 { "IPv4" } else { "IPv6" };
    let case = Case::new(format!("{family}, last of {size} rules"), Unit::Nanoseconds)
        .of_series(&format!("rules, {family}"), size.into())
        .ours(ours)
        .scaled(BPFILTER, bpfilter::rules(is_v4, size, &xdp_filter));
    let case = if is_v4 {
        case.with(XDP_FILTER, xdp_filter)
    } else {
        case
    };
    match (size, is_v4) {
        (10, true) => case.better_than(1.0, BPFILTER),
        (100, true) => case.better_than(1.2, BPFILTER),
        (1000, _) => case.better_than(5.0, BPFILTER),
        (5000, _) => case.better_than(20.0, BPFILTER),
        (10_000, _) => case.with(OF_TEN, ten).at_most_times(3.0, OF_TEN),
        (50_000, _) => case.with(OF_TEN, ten).works(),
        _ => case,
    }
}

/// Ours and xdp-filter's, net of an empty program.
fn figures(
    shim: &mut Shim,
    firewall: &Firewall,
    xdp_filter: &XdpFilter,
    effort: Effort,
    net: Net,
    size: u16,
) -> Result<(Figure, Figure)> {
    let syn =
        |net: &Net| Packet::tcp(end(net.client, 40_000), end(net.server, PORT), &Segment::new(SYN)).frame();
    let [v4, _] = nets();
    let last = size - 1;
    let before = firewall.matches(last)?;
    let candidates = [
        (Way::Xdp, Target::Own(Own::Empty), syn(&net)),
        (Way::Xdp, Target::Other(&firewall.ingress), syn(&net)),
        // It is asked for IPv4 sources only.
        (Way::PlainXdp, Target::Own(Own::Empty), syn(&v4)),
        (Way::PlainXdp, Target::Other(xdp_filter.program()), syn(&v4)),
    ];
    let figures = take_turns(effort.rounds, &[0, 1, 2, 3], |candidate: usize| {
        let (way, target, frame) = &candidates[candidate];
        let (code, nanoseconds) = shim.run(*way, *target, frame, effort.packets)?;
        let is_empty = matches!(target, Target::Own(_));
        ensure!(is_empty || code == DROP, "a packet was not dropped: {code}");
        Ok(nanoseconds)
    })?;
    let decided = firewall.matches(last)? - before;
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
