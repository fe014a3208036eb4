//! What the packets that matter most execute, look up and touch on their way through the programs.

use std::{collections::BTreeMap, fmt::Write, net::IpAddr};

use anyhow::{Context, Result, bail};
use firewall_agent::{compile::compile, dataplane::SlotImage, prefix_set::Members};
use firewall_common::{
    abi::names,
    address::Family,
    counters::Hook,
    verdict::Verdict,
    wire::tcp::{ACK, FIN, SYN},
};

use crate::{
    engine::{Engine, InKernel, Interface},
    frames::{Packet, Segment},
    host::{Host, end, nets},
    interpreter::Walk,
    rule_sets::{self, LAST_PORT, Shape},
};

/// Rules of a small server.
const RULES: &str = "[[rule]]\nname = \"web\"\nallow = [\"https\", \"udp/443\"]\nfrom = \"any\"\n";
const PORT: u16 = 443;
const NOW_TICKS: u32 = 1000;
/// Numbers of rules of the drawn policies: the marks of `cargo xtask bench`, as far as the suites' tables hold them.
const SIZES: [usize; 3] = [10, 100, 1000];
const SEED: u64 = 1;
/// Addresses in the block list beside the one that sends.
const LISTED: u32 = 2000;
/// More packets than are logged in a second.
const LOGGED: u32 = 100;
/// Counters of the default verdicts, which come before those of rules.
const DEFAULT_COUNTERS: u16 = 3;
/// Room above what a path takes, in percent.
const SLACK_PERCENT: u64 = 5;
/// Likewise, where buckets are searched: which of their ways hold what depends on the secret of the hash.
const SEARCH_SLACK_PERCENT: u64 = 20;

/// A packet of a kind, and its way.
#[derive(Debug)]
pub struct Path {
    /// What kind of packet it is.
    pub name: String,
    /// Its way.
    pub walk: Walk,
}

/// All of them. Needs root.
#[must_use]
pub fn paths() -> Vec<Path> {
    let mut paths = connections();
    paths.extend(listed());
    for size in SIZES {
        paths.extend(last_of(size));
    }
    paths
}

/// A packet that is dropped, behind as many of its kind as there is room for in the log.
fn dropped(engine: &InKernel, name: String, frame: &[u8]) -> Path {
    for _ in 0..LOGGED {
        let _ = engine.run(frame, Interface::Eth0, Hook::Ingress, NOW_TICKS);
    }
    path(engine, name, frame, Hook::Ingress, Verdict::Drop)
}

fn path(engine: &InKernel, name: String, frame: &[u8], hook: Hook, verdict: Verdict) -> Path {
    let walk = engine.walk(frame, Interface::Eth0, hook, NOW_TICKS);
    // `XDP_DROP` and `XDP_PASS`; `TC_ACT_SHOT` and `TC_ACT_UNSPEC`.
    let expected: u64 = match (hook, verdict) {
        (Hook::Ingress, Verdict::Pass) => 2,
        (Hook::Ingress, _) => 1,
        (Hook::Egress, Verdict::Pass) => u32::MAX.into(),
        (Hook::Egress, _) => 2,
    };
    assert_eq!(walk.action, expected, "{name}: {walk:?}");
    // The kernel's own programs decide the same; they also open and move on the flows of what comes next.
    let judged = engine.run(frame, Interface::Eth0, hook, NOW_TICKS).judged;
    assert_eq!(judged.verdict, verdict, "{name}");
    Path { name, walk }
}

/// Packets of a connection from its first to its last, and of live flows.
fn connections() -> Vec<Path> {
    let mut paths = Vec::new();
    for (family, net) in ["IPv4", "IPv6"].into_iter().zip(nets()) {
        let host = Host::<InKernel>::new(RULES);
        let (client, server) = (end(net.client, 40_000), end(net.server, PORT));
        let mut add = |name: &str, hook: Hook, packet: Packet| {
            let name = format!("{name}, {family}");
            paths.push(path(&host.engine, name, &packet.frame(), hook, Verdict::Pass));
        };
        let inside = |flags| Packet::tcp(client, server, &Segment::new(flags));
        let outside = |flags| Packet::tcp(server, client, &Segment::new(flags));
        add("SYN that is let in", Hook::Ingress, inside(SYN));
        add("SYN/ACK to it", Hook::Egress, outside(SYN | ACK));
        add("ACK that completes the handshake", Hook::Ingress, inside(ACK));
        add("segment of a live flow, in", Hook::Ingress, inside(ACK));
        add("segment of a live flow, out", Hook::Egress, outside(ACK));
        add("FIN", Hook::Ingress, inside(FIN | ACK));
        add("first datagram", Hook::Ingress, Packet::udp(client, server, 1));
        add("answer to it", Hook::Egress, Packet::udp(server, client, 1));
        add("second datagram", Hook::Ingress, Packet::udp(client, server, 1));
        add(
            "datagram of a live flow, in",
            Hook::Ingress,
            Packet::udp(client, server, 1),
        );
    }
    paths
}

/// A first packet of a source in a block list.
fn listed() -> Vec<Path> {
    let mut host = Host::<InKernel>::new(RULES);
    let [net, _] = nets();
    let IpAddr::V4(listed) = net.other else {
        unreachable!("the first net is IPv4");
    };
    let others = (1..=LISTED).map(|number| number.wrapping_mul(0x9e37_79b1) | 1 << 31);
    let addresses = others.chain([listed.to_bits()]);
    let ranges = addresses.map(|address| (address, address)).collect();
    host.engine.load_lists(0, &Members::new(ranges, Vec::new()));
    let packet = |source| Packet::tcp(end(source, 40_000), end(net.server, 81), &Segment::new(SYN)).frame();
    [
        ("SYN of a listed source, IPv4", net.other),
        (
            "SYN of a source that is not listed, dropped by default, IPv4",
            net.client,
        ),
    ]
    .map(|(name, source)| dropped(&host.engine, name.into(), &packet(source)))
    .into()
}

/// A first packet that only the last of many rules matches, which drops.
fn last_of(size: usize) -> Vec<Path> {
    let families = [(Family::V4, "192.0.2.1"), (Family::V6, "2001:db8::1")];
    families
        .into_iter()
        .zip(nets())
        .map(|((family, client), net)| {
            let rules = rule_sets::rules_before_last(Shape::Acl, family, size, SEED);
            let compiled = compile(&rule_sets::policy(rules)).expect("the policy compiles");
            let number = |name: &str| {
                name.strip_prefix('r')
                    .and_then(|number| number.parse::<u16>().ok())
            };
            let numbers = |name: &str| number(name).map_or(0, |number| DEFAULT_COUNTERS + number);
            let interfaces = Interface::ATTACHED.map(|interface| (interface.slot(), interface.name()));
            let bound = compiled.bind(&numbers, interfaces).expect("it can be bound");
            let engine = InKernel::start(&SlotImage {
                blocks: bound.blocks(),
                timers: *compiled.timers(),
            });
            engine.watch_rules(u32::from(DEFAULT_COUNTERS) + u32::try_from(size).expect("a number of rules"));
            let client = client.parse().expect("an address");
            let frame = Packet::tcp(
                end(client, 40_000),
                end(net.server, LAST_PORT),
                &Segment::new(SYN),
            )
            .frame();
            let name = format!("SYN, last of {size} rules, {}", family_name(family));
            dropped(&engine, name, &frame)
        })
        .collect()
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// Limits with some room above what the paths take, as [`limits`] reads them: instructions and name, one in a line.
#[must_use]
pub fn limits_text(paths: &[Path]) -> String {
    paths.iter().fold(String::new(), |mut text, path| {
        let slack = if path.walk.lines.contains_key(names::HALF_FLOWS) {
            SEARCH_SLACK_PERCENT
        } else {
            SLACK_PERCENT
        };
        let most = path.walk.instructions * (100 + slack) / 100;
        let _ = writeln!(text, "{most} {}", path.name);
        text
    })
}

/// Limits by path. Lines that begin with `#` are left out.
pub fn limits(text: &str) -> Result<BTreeMap<String, u64>> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let Some((most, name)) = line.split_once(' ') else {
                bail!("a limit is a number and a path: {line}");
            };
            Ok((name.to_owned(), most.parse().context("a limit")?))
        })
        .collect()
}

/// What is wrong with these paths, one sentence each.
#[must_use]
pub fn exceeded(paths: &[Path], limits: &BTreeMap<String, u64>) -> Vec<String> {
    let mut found = Vec::new();
    for Path { name, walk } in paths {
        match limits.get(name) {
            None => found.push(format!("no limit for: {name}")),
            Some(most) if walk.instructions > *most => found.push(format!(
                "{name}: {} instructions, more than {most}",
                walk.instructions
            )),
            Some(_) => {}
        }
    }
    let is_gone = |name: &&String| !paths.iter().any(|path| path.name == **name);
    let gone = limits.keys().filter(is_gone);
    found.extend(gone.map(|name| format!("a limit and no path: {name}")));
    found
}
