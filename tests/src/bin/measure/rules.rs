//! First packets, which match only the last of many rules.

use std::fmt::Write;

use anyhow::{Result, ensure};
use firewall_common::{counters::Hook, wire::tcp::SYN};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{end, nets},
    random::Random,
};

use crate::{
    firewall::Firewall,
    report::{Report, Row},
    rounds::{Effort, take_turns},
    shim::{Own, Shim, Target},
};

/// Numbers of rules; the last is near the most that one chain holds.
const SIZES: [usize; 4] = [10, 100, 1000, 5000];
const SEED: u64 = 1;
const REMOTES: u32 = 1 << 12;
/// The last rule's port; no other rule has it.
const PORT: u16 = 4443;
/// `XDP_DROP`
const DROP: u32 = 1;

/// So many rules of single sources, prefixes and ports, and one that drops what is measured.
fn policy(count: usize) -> Result<String> {
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

/// One row for each number of rules and family.
pub(crate) fn measure(object: &[u8], effort: Effort, report: &mut Report) -> Result<()> {
    let mut shim = Shim::load(object, REMOTES)?;
    let mut firewall = Firewall::load("", 0)?;
    let mut of_ten = [None, None];
    for size in SIZES {
        eprintln!("rules: {size}");
        firewall.enforce(&policy(size)?)?;
        for (net, of_ten) in nets().into_iter().zip(&mut of_ten) {
            let syn = Packet::tcp(end(net.client, 40_000), end(net.server, PORT), &Segment::new(SYN)).frame();
            let last = u16::try_from(size)? + 2;
            let before = firewall.matches(last)?;
            let candidates = [Target::Own(Own::Empty), Target::Firewall(&firewall.ingress)];
            let [empty, judged] = take_turns(effort.rounds, candidates, |target| {
                let (code, nanoseconds) = shim.run(Hook::Ingress, target, &syn, effort.packets)?;
                ensure!(
                    matches!(target, Target::Own(_)) || code == DROP,
                    "a packet was not dropped: {code}"
                );
                Ok(nanoseconds)
            })?;
            let decided = firewall.matches(last)? - before;
            let sent = u64::from(effort.packets) * effort.rounds as u64;
            ensure!(
                decided == sent,
                "the last rule has dropped {decided} of {sent} packets"
            );
            let figure = judged.net_of(empty);
            let of_ten = *of_ten.get_or_insert(figure);
            let family = if net.server.is_ipv4() { "IPv4" } else { "IPv6" };
            let case = format!("first packet, {family}, last of {size} rules");
            report.add(Row::alone(case, figure).beside(Some(("10 rules", of_ten))));
        }
    }
    Ok(())
}
