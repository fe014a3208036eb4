//! A policy that is asked what it would make of connections, by the packet path itself.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use firewall_common::{
    counters::{DEFAULT_COUNTERS, Hook},
    flow::flow_flags,
    interface::{INTERFACE_SLOTS, LinkType},
    reason::Reason,
    verdict::{Decision, Verdict},
};
use globset::GlobSet;

use super::{describe, flows::ends, in_force::DIRECTIONS, kernel::glob_set, shadow::DroppedPacket};
use crate::{
    compile::{BindError, CompiledImage, timeouts::timeouts},
    dataplane::{FlowView, SocketFlow},
    engine::{HostEngine, Segment},
    policy::{
        list::Entries,
        model::{Direction, Rule, Term, ValidPolicy},
    },
    prefix_set::{Members, Prefix},
};

/// After so many questions the engine's flow tables are emptied, so that none is answered by what another has opened.
const QUESTIONS: u32 = 256;

/// When the packets come, in ticks.
const NOW_TICKS: u32 = 1000;

/// When rules end that have not ended yet.
const LATER_TICKS: u32 = 1 << 30;

/// A connection to ask about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Connection {
    pub(super) protocol: u8,
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) opened_by_remote: bool,
    /// Where it is not known, each filtered interface is tried.
    pub(super) interface: Option<String>,
}

impl From<&SocketFlow> for Connection {
    fn from(socket: &SocketFlow) -> Self {
        Self {
            protocol: socket.protocol,
            remote: socket.remote,
            local: socket.local,
            opened_by_remote: socket.opened_by_remote,
            interface: socket.interface.clone(),
        }
    }
}

impl From<&FlowView> for Connection {
    fn from(view: &FlowView) -> Self {
        let (remote, local) = ends(view);
        Self {
            protocol: view.key.protocol,
            remote: SocketAddr::new(remote, view.key.remote_port),
            local: SocketAddr::new(local, view.key.local_port),
            opened_by_remote: view.flow.flags & flow_flags::OPENED_BY_REMOTE != 0,
            interface: None,
        }
    }
}

impl Connection {
    /// `tcp 10.77.9.7:50000 to 10.77.2.10:22`.
    pub(super) fn describe(&self) -> String {
        let (from, to) = if self.opened_by_remote {
            (self.remote, self.local)
        } else {
            (self.local, self.remote)
        };
        format!("{} {from} to {to}", describe::protocol_name(self.protocol))
    }

    /// Whether it is the same to the other end, wherever it was heard of.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.protocol, self.remote, self.local) == (other.protocol, other.remote, other.local)
    }
}

/// Who has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By<'a> {
    /// The rule.
    Rule(&'a Rule),
    /// No rule: the default of a direction.
    Default(Direction),
    /// A block list.
    List(&'a str),
    /// Something that comes before the rules.
    Reason(Reason),
    /// The policy does not filter its interface.
    Unfiltered,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) passes: bool,
    pub(super) by: By<'a>,
}

/// A policy that can be asked.
pub(super) struct Judgement<'a> {
    policy: &'a ValidPolicy,
    engine: HostEngine,
    globs: GlobSet,
    /// Names by slot, from 1 on.
    interfaces: Vec<String>,
    asked: u32,
}

/// Why a policy cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum JudgementError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("interface pattern: {0}")]
    Glob(#[from] globset::Error),
}

impl<'a> Judgement<'a> {
    /// `interfaces` are those that connections may name; `remotes` all other ends that are going to be asked about;
    /// `has_ended` says which rules have ended then.
    pub(super) fn new(
        policy: &'a ValidPolicy,
        image: &CompiledImage,
        interfaces: &[String],
        remotes: impl IntoIterator<Item = IpAddr>,
        has_ended: &dyn Fn(Term) -> bool,
    ) -> Result<Self, JudgementError> {
        let interfaces: Vec<String> = interfaces.iter().take(INTERFACE_SLOTS - 1).cloned().collect();
        // The image numbers its rules in their order, and here they keep those numbers.
        let numbers: std::collections::HashMap<&str, u16> = policy
            .rules
            .iter()
            .map(|rule| &*rule.name)
            .zip(DEFAULT_COUNTERS..)
            .collect();
        let slots = (1u8..).zip(interfaces.iter().map(String::as_str));
        let end = |term| if has_ended(term) { NOW_TICKS } else { LATER_TICKS };
        let bound = image.bind_until(&|name| numbers[name], &end, slots)?;
        let mut engine = HostEngine::new(bound.blocks(), |clock| timeouts(image.timers(), clock));
        let members = listed(policy, remotes);
        if !members.is_empty() && engine.load_lists(0, &members).is_err() {
            tracing::warn!("more connections are on block lists than can be asked about at once");
        }
        Ok(Self {
            globs: glob_set(&policy.settings.interfaces)?,
            policy,
            engine,
            interfaces,
            asked: 0,
        })
    }

    /// What becomes of a connection: of the packet that opens it, and of the answer to that.
    pub(super) fn ask(&mut self, connection: &Connection) -> Answer<'a> {
        if let Some(name) = &connection.interface {
            return self.ask_on(connection, name);
        }
        let names: Vec<String> = self.filtered().cloned().collect();
        let mut answers = names.iter().map(|name| self.ask_on(connection, name));
        let first = answers.next();
        let passes = first.filter(|answer| answer.passes);
        passes
            .or_else(|| answers.find(|answer| answer.passes))
            .or(first)
            .unwrap_or(Answer {
                passes: true,
                by: By::Unfiltered,
            })
    }

    fn filtered(&self) -> impl Iterator<Item = &String> {
        self.interfaces.iter().filter(|name| self.globs.is_match(name))
    }

    fn ask_on(&mut self, connection: &Connection, interface: &str) -> Answer<'a> {
        if !self.globs.is_match(interface) {
            return Answer {
                passes: true,
                by: By::Unfiltered,
            };
        }
        let slot = self.next_question(interface);
        let incoming = Segment {
            source: connection.remote.ip().to_canonical(),
            destination: connection.local.ip().to_canonical(),
            protocol: connection.protocol,
            source_port: connection.remote.port(),
            destination_port: connection.local.port(),
        };
        let (opening, first, second) = if connection.opened_by_remote {
            (incoming, Hook::Ingress, Hook::Egress)
        } else {
            (incoming.turned(), Hook::Egress, Hook::Ingress)
        };
        let decided = self.engine.packet(&opening.opening(), first, slot, NOW_TICKS);
        if decided.verdict != Verdict::Pass {
            return self.answer(decided, connection.remote.ip());
        }
        let answered = self
            .engine
            .packet(&opening.turned().answer(), second, slot, NOW_TICKS);
        if answered.verdict != Verdict::Pass {
            return self.answer(answered, connection.remote.ip());
        }
        self.answer(decided, connection.remote.ip())
    }

    /// What becomes of a packet, of which this is the frame.
    pub(super) fn ask_packet(&mut self, packet: &DroppedPacket, frame: &[u8], link: LinkType) -> Answer<'a> {
        if !self.globs.is_match(&*packet.interface) {
            return Answer {
                passes: true,
                by: By::Unfiltered,
            };
        }
        let slot = self.next_question(&packet.interface);
        let decided = self
            .engine
            .packet_on(frame, link, packet.way.hook(), slot, NOW_TICKS);
        self.answer(decided, packet.remote())
    }

    /// The slot of the interface that a question is about.
    fn next_question(&mut self, interface: &str) -> u8 {
        self.asked += 1;
        if self.asked.is_multiple_of(QUESTIONS) {
            self.engine.forget_flows();
        }
        let place = self.interfaces.iter().position(|name| name == interface);
        place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
    }

    fn answer(&self, decision: Decision, remote: IpAddr) -> Answer<'a> {
        let place = usize::from(decision.rule);
        let by = match (decision.reason, place.checked_sub(usize::from(DEFAULT_COUNTERS))) {
            (Reason::Listed, _) => self
                .policy
                .lists
                .iter()
                .find(|list| has(&list.entries, remote))
                .map_or(By::Reason(decision.reason), |list| By::List(&list.name)),
            (Reason::Rule | Reason::Flow | Reason::Default, Some(place)) => self
                .policy
                .rules
                .get(place)
                .map_or(By::Reason(decision.reason), By::Rule),
            (Reason::Rule | Reason::Flow | Reason::Default, None) => DIRECTIONS
                .get(place)
                .map_or(By::Reason(decision.reason), |direction| By::Default(*direction)),
            _ => By::Reason(decision.reason),
        };
        Answer {
            passes: decision.verdict == Verdict::Pass,
            by,
        }
    }
}

/// Those of some addresses that the block lists of a policy have: what a question needs of them.
fn listed(policy: &ValidPolicy, remotes: impl IntoIterator<Item = IpAddr>) -> Members {
    if policy.lists.is_empty() {
        return Members::default();
    }
    let all = policy.listed();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for remote in remotes.into_iter().collect::<BTreeSet<_>>() {
        match remote.to_canonical() {
            IpAddr::V4(address) => {
                let address = address.to_bits();
                let place = all.v4().partition_point(|range| range.1 < address);
                let range = all.v4().get(place).filter(|range| range.0 <= address);
                v4.extend(range.map(|_| (address, address)));
            }
            IpAddr::V6(address) => {
                let address = address.to_bits();
                let place = all.v6().partition_point(|prefix| prefix.last() < address);
                let prefix = all.v6().get(place).filter(|prefix| prefix.first() <= address);
                v6.extend(prefix.map(|_| Prefix::new(address, 128)));
            }
        }
    }
    Members::new(v4, v6)
}

fn has(entries: &Entries, address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => entries.overlap_v4(address.to_bits(), address.to_bits()).is_some(),
        IpAddr::V6(address) => entries.overlap_v6(address.to_bits(), address.to_bits()).is_some(),
    }
}
