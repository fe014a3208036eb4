//! The way of a packet through a policy, step by step and in plain words. It looks nothing up that the verdict path
//! looks up: what it says has to agree with the engine, and where it does not, one of the two is wrong.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use firewall_common::{
    cell::Mode,
    reason::Reason,
    wire::{icmp, icmpv6, protocol},
};

use super::{
    NOW_TICKS, Question, Step, Way,
    packet::{is_multicast_listener, is_neighbour_discovery},
};
use crate::{
    daemon::{addresses, protocol_name},
    policy::{
        evaluate::{address_in, evaluate_without, glob_matches},
        model::{Action, BlockList, Direction, Forwarded, Rule, Term, ValidPolicy},
    },
};

/// A live flow between the packet's ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFlow {
    /// Its state.
    pub state: String,
    /// Which rule has let it in.
    pub rule: String,
    /// Seconds until it ends if no packet comes.
    pub remaining_seconds: u64,
    /// Whether what is in force now has let it in; otherwise it is judged again.
    pub is_current: bool,
    /// Whether its rule has ended by itself since, so that it is judged again.
    pub rule_ended: bool,
    /// Whether the packet that is asked about would open it anew: a SYN where it is half open.
    pub is_opening: bool,
}

/// What is around a policy on a host that enforces it. Files know nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether this is what an agent enforces.
    pub is_live: bool,
    /// The flow that the packet belongs to.
    pub flow: Option<KnownFlow>,
    /// Whether the other end is banned.
    pub is_banned: bool,
    /// How packets are judged.
    pub mode: Mode,
    /// The host's own addresses.
    pub local: Vec<IpAddr>,
    /// When it is, in ticks.
    pub now_ticks: u32,
    /// How much time rules have left that end by themselves.
    pub left: BTreeMap<Term, Duration>,
}

impl Surroundings {
    /// Whether a rule has ended.
    #[must_use]
    pub fn has_ended(&self, rule: &Rule) -> bool {
        let left = rule.term.and_then(|term| self.left.get(&term));
        left.is_some_and(Duration::is_zero)
    }
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            is_live: false,
            flow: None,
            is_banned: false,
            mode: Mode::Normal,
            local: Vec::new(),
            now_ticks: NOW_TICKS,
            left: BTreeMap::new(),
        }
    }
}

/// Where the walk has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// What was looked at, in order.
    pub steps: Vec<Step>,
    /// The verdict and its reason.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The direction whose rules were asked, if they were.
    pub asked: Option<Direction>,
    /// The rule that decided, by its place in the policy.
    pub rule: Option<usize>,
}

struct Walk<'a> {
    question: &'a Question,
    policy: &'a ValidPolicy,
    around: &'a Surroundings,
    /// Whether the live flow passes the packet, which is a matter of the connection's state.
    flow_takes: bool,
    steps: Vec<Step>,
}

/// The walk's end at a step that decides.
struct End {
    action: Action,
    reason: Reason,
    asked: Option<Direction>,
    rule: Option<usize>,
}

impl End {
    const fn by(reason: Reason) -> Self {
        Self {
            action: if reason.passes() {
                Action::Allow
            } else {
                Action::Drop
            },
            reason,
            asked: None,
            rule: None,
        }
    }
}

/// Walks a packet through a policy. `flow_takes` says whether the live flow, if there is one, passes the packet.
#[must_use]
pub fn walk(question: &Question, policy: &ValidPolicy, around: &Surroundings, flow_takes: bool) -> Walked {
    let mut walk = Walk {
        question,
        policy,
        around,
        flow_takes,
        steps: Vec::new(),
    };
    let end = walk.end();
    Walked {
        steps: walk.steps,
        action: end.action,
        reason: end.reason,
        asked: end.asked,
        rule: end.rule,
    }
}

impl Walk<'_> {
    fn end(&mut self) -> End {
        let steps: [fn(&mut Self) -> Option<End>; 9] = [
            Self::mode_pause,
            Self::addresses,
            Self::flow,
            Self::protected,
            Self::failsafe,
            Self::mode_panic,
            Self::bans,
            Self::lists,
            Self::state,
        ];
        let decided = steps.into_iter().find_map(|step| step(self));
        decided.unwrap_or_else(|| self.rules())
    }

    fn note(&mut self, step: &str, finding: impl Into<String>) {
        self.steps.push(Step {
            step: step.to_owned(),
            finding: finding.into(),
            decides: false,
        });
    }

    #[expect(clippy::unnecessary_wraps, reason = "every step answers in this form")]
    fn decide(&mut self, step: &str, finding: impl Into<String>, reason: Reason) -> Option<End> {
        self.steps.push(Step {
            step: step.to_owned(),
            finding: finding.into(),
            decides: true,
        });
        Some(End::by(reason))
    }

    fn mode_pause(&mut self) -> Option<End> {
        self.note("parse", "a whole packet with headers in order");
        if self.around.mode == Mode::Pause {
            return self.decide("mode", "the policy is paused: everything passes", Reason::Paused);
        }
        None
    }

    fn addresses(&mut self) -> Option<End> {
        let question = self.question;
        if question.way == Way::Out {
            return None;
        }
        let (source, destination) = (question.source, question.destination);
        if source.is_multicast() || is_loopback(source) || is_limited_broadcast(source) {
            let finding = format!("{source} cannot be a source on the wire");
            return self.decide("addresses", finding, Reason::SpoofedSource);
        }
        if source.is_unspecified() && !may_be_unspecified(question) {
            let finding = format!("{source} is no source of such a packet");
            return self.decide("addresses", finding, Reason::SpoofedSource);
        }
        if is_loopback(destination) || destination.is_unspecified() {
            let finding = format!("{destination} cannot be a destination on the wire");
            return self.decide("addresses", finding, Reason::MartianDestination);
        }
        self.note("addresses", "both can be on the wire");
        None
    }

    fn flow(&mut self) -> Option<End> {
        let Some(flow) = self.around.flow.clone() else {
            let finding = if self.around.is_live {
                "no live flow between these ends: this is the first packet of one"
            } else {
                "files know of no flows: this is the first packet of one"
            };
            self.note("flow", finding);
            return None;
        };
        let finding = format!(
            "a live flow, {}, let in by {}, {} s left",
            flow.state, flow.rule, flow.remaining_seconds
        );
        if flow.is_current && self.flow_takes {
            return self.decide("flow", finding, Reason::Flow);
        }
        let why = if flow.is_current {
            "but this packet is none of it"
        } else if flow.rule_ended {
            "its rule has ended, so it is judged again"
        } else {
            "by an earlier policy, so it is judged again"
        };
        self.note("flow", format!("{finding}; {why}"));
        None
    }

    fn protected(&mut self) -> Option<End> {
        let question = self.question;
        let step = "protected";
        if is_neighbour_discovery(question) {
            let (kind, code) = question.icmp.unwrap_or_default();
            if code != 0 {
                let finding = "neighbour discovery has code 0";
                return self.decide(step, finding, Reason::NeighbourDiscoveryInvalid);
            }
            if question.way == Way::In || kind != icmpv6::ROUTER_ADVERTISEMENT {
                let finding = "neighbour discovery (asked with hop limit 255)";
                return self.decide(step, finding, Reason::NeighbourDiscovery);
            }
        }
        if is_multicast_listener(question) {
            let (kind, _) = question.icmp.unwrap_or_default();
            let report = matches!(kind, icmpv6::MLD_REPORT | icmpv6::MLD2_REPORT);
            return if is_link_local(question.source) || (question.source.is_unspecified() && report) {
                let finding = "multicast listener discovery (asked with hop limit 1 and router alert)";
                self.decide(step, finding, Reason::MulticastListener)
            } else {
                let finding = "multicast listener discovery comes from link-local addresses";
                self.decide(step, finding, Reason::MulticastListenerInvalid)
            };
        }
        if question.protocol == protocol::IGMP && question.destination.is_multicast() {
            return self.decide(step, "IGMP (asked with hop limit 1)", Reason::MulticastListener);
        }
        if is_dhcp(question) {
            return self.decide(step, "DHCP of this host", Reason::FailsafeDhcp);
        }
        self.note(step, "neither neighbour discovery nor DHCP of this host");
        None
    }

    fn failsafe(&mut self) -> Option<End> {
        let question = self.question;
        let failsafe = &self.policy.failsafe;
        let ((remote, remote_port), (_, local_port)) = (question.remote(), question.local());
        let is_tcp = question.protocol == protocol::TCP;
        let is_source = address_in(&failsafe.management_sources, remote);
        let is_port = is_tcp && local_port != 0 && failsafe.management_ports.contains(&local_port);
        let asks_dns = (is_tcp || question.protocol == protocol::UDP) && remote_port == 53;
        let is_resolver = address_in(&failsafe.resolvers, remote);
        let reason = if is_port && is_source {
            Reason::FailsafeManagement
        } else if asks_dns && is_resolver && !(is_tcp && question.way == Way::In) {
            Reason::FailsafeDns
        } else {
            let finding = match (is_port, is_source, asks_dns) {
                (true, false, _) => format!(
                    "port {local_port} is a management port, but {remote} is no management source ({})",
                    addresses(Some(&failsafe.management_sources))
                ),
                (_, _, true) => format!("port 53, but {remote} is no resolver of the failsafe"),
                (false, true, _) => {
                    format!("{remote} is a management source, but this is no management port")
                }
                _ => "neither management nor a named resolver".to_owned(),
            };
            self.note("failsafe", finding);
            return None;
        };
        if question.way == Way::In && self.around.local.contains(&question.source) {
            let finding = format!("{} is an address of this host", question.source);
            return self.decide("failsafe", finding, Reason::SpoofedOwn);
        }
        let finding = if reason == Reason::FailsafeDns {
            format!("{remote} is a resolver that this host may always ask")
        } else {
            format!("{remote} is a management source, and port {local_port} a management port")
        };
        self.decide("failsafe", finding, reason)
    }

    fn mode_panic(&mut self) -> Option<End> {
        if self.around.mode == Mode::Panic {
            let finding = "panic: everything but the failsafe is dropped";
            return self.decide("mode", finding, Reason::Panic);
        }
        None
    }

    fn bans(&mut self) -> Option<End> {
        let (remote, _) = self.question.remote();
        if self.around.is_banned {
            return self.decide("ban", format!("{remote} is banned"), Reason::Banned);
        }
        let finding = if self.around.is_live {
            format!("{remote} is not banned")
        } else {
            "files know of no bans".to_owned()
        };
        self.note("ban", finding);
        None
    }

    fn lists(&mut self) -> Option<End> {
        let (remote, _) = self.question.remote();
        let lists = self.policy.lists.iter();
        let found: Vec<_> = lists
            .filter(|list| holds(list, remote))
            .map(|list| &*list.name)
            .collect();
        if found.is_empty() {
            let finding = match self.policy.lists.len() {
                0 => "the policy has no block list".to_owned(),
                count => format!("{remote} is on none of {count}"),
            };
            self.note("list", finding);
            return None;
        }
        let finding = format!("{remote} is on the block list {}", found.join(", "));
        self.decide("list", finding, Reason::Listed)
    }

    /// Messages that open nothing.
    fn state(&mut self) -> Option<End> {
        let is = |v4, v6| match (self.question.protocol, self.question.icmp) {
            (protocol::ICMP, Some((kind, _))) => kind == v4,
            (protocol::ICMPV6, Some((kind, _))) => kind == v6,
            _ => false,
        };
        let in_midflow = self.around.flow.as_ref().is_some_and(|flow| {
            flow.is_current && !flow.is_opening && self.question.protocol == protocol::TCP
        });
        if in_midflow && !self.policy.settings.tcp_midflow_pickup {
            let finding = "a TCP packet in mid-flow opens nothing";
            return self.decide("state", finding, Reason::TcpNoState);
        }
        if is(icmp::ECHO_REPLY, icmpv6::ECHO_REPLY) {
            return self.decide("state", "an echo reply without a request", Reason::EchoNoState);
        }
        if is(icmp::REDIRECT, icmpv6::REDIRECT) && !self.policy.settings.allow_icmp_redirects {
            let finding = "redirects are dropped, unless `allow_icmp_redirects` leaves them to the rules";
            return self.decide("state", finding, Reason::IcmpRedirect);
        }
        None
    }

    fn rules(&mut self) -> End {
        let direction = self.direction();
        if direction == Direction::Forward {
            self.note(
                "forward",
                "declared as forwarded: the rules for forwarded packets",
            );
        }
        let has_ended = |rule: &Rule| self.around.has_ended(rule);
        let decision = evaluate_without(self.policy, &self.question.probe(direction), has_ended);
        let finding = match decision.rule {
            Some(index) => {
                let rule = &self.policy.rules[index];
                format!(
                    "`{}` matches ({}:{})",
                    rule.name, rule.origin.file, rule.origin.line
                )
            }
            None => format!("none matches: {}", super::Subject::default_of(direction)),
        };
        self.steps.push(Step {
            step: "rules".to_owned(),
            finding,
            decides: true,
        });
        let from_own = self.question.way == Way::In && self.around.local.contains(&self.question.source);
        if decision.verdict == Action::Allow && from_own {
            let finding = format!("{} is an address of this host", self.question.source);
            let end = self.decide("own address", finding, Reason::SpoofedOwn);
            return end.unwrap_or(End::by(Reason::SpoofedOwn));
        }
        let by_default = decision.rule.is_none() && decision.verdict != Action::Allow;
        End {
            action: decision.verdict,
            reason: if by_default { Reason::Default } else { Reason::Rule },
            asked: Some(direction),
            rule: decision.rule,
        }
    }

    fn direction(&self) -> Direction {
        let forwarded = &self.policy.settings.forwarded;
        if *forwarded == Forwarded::default() {
            return self.question.way.direction();
        }
        let on = self.question.interface.as_deref().is_some_and(|name| {
            let mut globs = forwarded.interfaces.iter();
            globs.any(|glob| glob_matches(glob.as_bytes(), name.as_bytes()))
        });
        let (own, _) = self.question.local();
        if on || address_in(&forwarded.networks, own) {
            Direction::Forward
        } else {
            self.question.way.direction()
        }
    }
}

fn holds(list: &BlockList, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let number = u32::from(address);
            list.entries.overlap_v4(number, number).is_some()
        }
        IpAddr::V6(address) => {
            let number = u128::from(address);
            list.entries.overlap_v6(number, number).is_some()
        }
    }
}

/// IPv4-mapped addresses never stand on the wire either.
fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback() || address.to_ipv4_mapped().is_some(),
    }
}

const fn is_limited_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

const fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// RFC 2131 4.1, RFC 3376 4.2.13, RFC 4862 5.4.2, RFC 3590.
fn may_be_unspecified(question: &Question) -> bool {
    match (question.protocol, question.icmp) {
        (protocol::IGMP, _) => question.source.is_ipv4(),
        (protocol::UDP, _) => question.source.is_ipv4() && question.destination_port == 67,
        (protocol::ICMPV6, Some((kind, _))) => matches!(
            kind,
            icmpv6::ROUTER_SOLICITATION
                | icmpv6::NEIGHBOUR_SOLICITATION
                | icmpv6::MLD_QUERY
                | icmpv6::MLD_REPORT
                | icmpv6::MLD2_REPORT
        ),
        _ => false,
    }
}

/// This host as a client (RFC 2131, RFC 8415 7.2).
fn is_dhcp(question: &Question) -> bool {
    if question.protocol != protocol::UDP {
        return false;
    }
    let (server, client) = if question.source.is_ipv4() {
        (67, 68)
    } else {
        (547, 546)
    };
    let ports = (question.source_port, question.destination_port);
    match question.way {
        Way::In => ports == (server, client) && (question.source.is_ipv4() || is_link_local(question.source)),
        Way::Out => ports == (client, server),
    }
}

/// A protocol by name, for people.
pub(super) fn protocol_text(question: &Question) -> String {
    let name = protocol_name(question.protocol);
    match question.icmp {
        Some((kind, code)) => format!("{name} {kind}/{code}"),
        None if question.has_ports() => format!(
            "{name} from port {} to {}",
            question.source_port, question.destination_port
        ),
        None => format!("protocol {name}"),
    }
}
