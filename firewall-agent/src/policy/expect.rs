//! Tries the expectations of a policy with packets.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use super::{
    evaluate::{Decision, Probe, ProbeProtocol, evaluate, evaluate_without},
    link::LinkedExpectation,
    model::{Action, AddressSet, Direction, Matches, ProtocolMatch, Ranges, ValidPolicy},
    resolve::{self, Resolved},
    stranger,
    syntax::DEFAULT_RULE,
    view::{Half, View},
};
use crate::diagnostic::{Code, Diagnostic};

/// The source port of a packet whose expectation names none; from the dynamic range (RFC 6335 6).
const SOURCE_PORT: u16 = 50_000;

/// Tries one expectation; `None` if it does not concern the host.
pub(super) fn check(
    expectation: &LinkedExpectation,
    resolved: &Resolved<'_>,
    view: &View<'_>,
) -> Option<Result<(), Diagnostic>> {
    let entry = &expectation.entry;
    if entry
        .on
        .as_ref()
        .is_some_and(|names| !names.iter().any(|name| view.is_called(&name.value)))
    {
        return None;
    }
    let statement = &expectation.statement;
    let meaning = view.meaning(&statement.written.parties);
    if meaning.halves.is_empty() && !meaning.names_nobody {
        return None;
    }
    let mut tried = 0;
    for half in meaning.halves {
        let half = with_own_address(half, view);
        let matches = resolve::conditions(statement, &half);
        for probe in probes(&matches, half.direction) {
            tried += 1;
            if let Err(failed) = try_probe(expectation, &resolved.policy, &probe) {
                return Some(Err(failed.explain(expectation, resolved, &probe)));
            }
        }
    }
    Some(if tried == 0 {
        Err(no_packet(expectation))
    } else {
        Ok(())
    })
}

/// What was decided instead of what was expected.
struct Surprise(Decision);

fn try_probe(
    expectation: &LinkedExpectation,
    policy: &ValidPolicy,
    probe: &Probe<'_>,
) -> Result<(), Surprise> {
    let wanted = expectation.statement.written.action.value;
    // What is expected has to hold for good, and the verdict also while there are rules that end.
    let decision = evaluate_without(policy, probe, |rule| rule.term.is_some());
    let for_now = evaluate(policy, probe);
    if decision.verdict == wanted && for_now.verdict != wanted {
        return Err(Surprise(for_now));
    }
    let verdict_holds = decision.verdict == wanted;
    let rule_holds = expectation
        .entry
        .rule
        .as_ref()
        .is_none_or(|rule| *deciding(policy, decision) == *rule.value);
    if verdict_holds && rule_holds {
        Ok(())
    } else {
        Err(Surprise(decision))
    }
}

/// The name of the deciding sentence, or `default`.
fn deciding(policy: &ValidPolicy, decision: Decision) -> &str {
    let Some(index) = decision.rule else {
        return DEFAULT_RULE;
    };
    let name = &policy.rules[index].name;
    name.split_once('/').map_or(name, |(sentence, _)| sentence)
}

impl Surprise {
    fn explain(
        self,
        expectation: &LinkedExpectation,
        resolved: &Resolved<'_>,
        probe: &Probe<'_>,
    ) -> Diagnostic {
        let written = &expectation.statement.written;
        let wanted = match &expectation.entry.rule {
            Some(rule) => format!("{} by `{}`", verb(written.action.value), rule.value),
            None => verb(written.action.value).to_owned(),
        };
        let who = match self.0.rule {
            Some(_) => format!("by the rule `{}`", deciding(&resolved.policy, self.0)),
            None => "by default".to_owned(),
        };
        let diagnostic = Diagnostic::new(
            Code::ExpectationFailed,
            &written.action.place,
            format!("{} is {} {who}", describe(probe), verb(self.0.verdict)),
        )
        .label(format!("expected: {wanted}"));
        match self.0.rule {
            Some(index) => diagnostic.also(&resolved.written[index].entry.name.place, "this rule decides"),
            None => diagnostic.hint("no rule matches this packet"),
        }
    }
}

const fn verb(action: Action) -> &'static str {
    match action {
        Action::Allow => "allowed",
        Action::Drop => "dropped",
        Action::Reject => "rejected",
    }
}

fn describe(probe: &Probe<'_>) -> String {
    let direction = match probe.direction {
        Direction::In => "incoming",
        Direction::Out => "outgoing",
        Direction::Forward => "forwarded",
    };
    let (from, to) = (probe.source, probe.destination);
    match probe.protocol {
        ProbeProtocol::Ports {
            protocol,
            source,
            destination,
        } => {
            let (from, to) = (
                std::net::SocketAddr::new(from, source),
                std::net::SocketAddr::new(to, destination),
            );
            format!("{direction} {} {from} -> {to}", transport(protocol))
        }
        ProbeProtocol::Icmp { kind, code } => {
            let family = if from.is_ipv4() { "icmp" } else { "icmpv6" };
            format!("{direction} {family}/{kind}/{code} {from} -> {to}")
        }
        ProbeProtocol::Number(number) => format!("{direction} protocol/{number} {from} -> {to}"),
    }
}

const fn transport(protocol: u8) -> &'static str {
    match protocol {
        6 => "tcp",
        17 => "udp",
        132 => "sctp",
        _ => "udplite",
    }
}

/// The side that the sentence leaves open is this host: its own addresses, or where they are unknown, anybody's.
fn with_own_address(mut half: Half, view: &View<'_>) -> Half {
    let own = || match view.host {
        Some(host) => host.own.clone(),
        None => stranger::first_outside(&view.strangers),
    };
    match half.direction {
        Direction::In => half.destination = half.destination.or_else(|| Some(own())),
        Direction::Out => half.source = half.source.or_else(|| Some(own())),
        Direction::Forward => {}
    }
    half
}

/// Packets at the edges of every range that the conditions name.
fn probes(matches: &Matches, direction: Direction) -> impl Iterator<Item = Probe<'_>> {
    let nothing = AddressSet::default();
    let sources = addresses(matches.source.as_ref().unwrap_or(&nothing));
    let destinations = addresses(matches.destination.as_ref().unwrap_or(&nothing));
    let interface = matches
        .interfaces
        .as_ref()
        .and_then(|globs| globs.first())
        .map(String::as_str);
    let vlan = matches
        .vlans
        .as_ref()
        .and_then(|vlans| vlans.first())
        .map(|range| *range.start());
    let protocols: Vec<_> = matches.protocols.iter().flat_map(protocol_edges).collect();
    sources.into_iter().flat_map(move |source| {
        let destinations: Vec<_> = destinations
            .iter()
            .copied()
            .filter(|one| one.is_ipv4() == source.is_ipv4())
            .collect();
        let protocols: Vec<_> = protocols
            .iter()
            .copied()
            .filter(|(v4, v6, _)| if source.is_ipv4() { *v4 } else { *v6 })
            .collect();
        destinations.into_iter().flat_map(move |destination| {
            protocols.clone().into_iter().map(move |(_, _, protocol)| Probe {
                direction,
                source,
                destination,
                protocol,
                interface,
                vlan,
            })
        })
    })
}

fn addresses(set: &AddressSet) -> Vec<IpAddr> {
    let v4 = edges(&set.v4)
        .into_iter()
        .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = edges(&set.v6)
        .into_iter()
        .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    v4.chain(v6).collect()
}

fn edges<T: Copy + PartialEq>(set: &[RangeInclusive<T>]) -> Vec<T> {
    let mut edges: Vec<T> = set
        .iter()
        .flat_map(|range| [*range.start(), *range.end()])
        .collect();
    edges.dedup();
    edges
}

/// Each packet with the families that it can be sent in.
fn protocol_edges(protocol: &ProtocolMatch) -> Vec<(bool, bool, ProbeProtocol)> {
    let icmp = |v4: bool, messages: &Ranges<u16>| {
        let bytes = edges(messages).into_iter().map(u16::to_be_bytes);
        bytes
            .map(|[kind, code]| (v4, !v4, ProbeProtocol::Icmp { kind, code }))
            .collect()
    };
    match protocol {
        ProtocolMatch::Any => Vec::new(),
        ProtocolMatch::Ports {
            protocol,
            source,
            destination,
        } => {
            let sources = if super::ranges::is_full(source) {
                vec![SOURCE_PORT]
            } else {
                edges(source)
            };
            let packet = |source, destination| ProbeProtocol::Ports {
                protocol: *protocol,
                source,
                destination,
            };
            sources
                .iter()
                .flat_map(|from| {
                    edges(destination)
                        .into_iter()
                        .map(move |to| (true, true, packet(*from, to)))
                })
                .collect()
        }
        ProtocolMatch::Icmp4(messages) => icmp(true, messages),
        ProtocolMatch::Icmp6(messages) => icmp(false, messages),
        ProtocolMatch::Number(number) => vec![(true, true, ProbeProtocol::Number(*number))],
    }
}

fn no_packet(expectation: &LinkedExpectation) -> Diagnostic {
    Diagnostic::new(
        Code::EmptyMatch,
        &expectation.statement.written.action.place,
        "no packet fits this expectation",
    )
    .hint("source, destination and protocol have to be of one address family, and a stranger has to exist")
}
