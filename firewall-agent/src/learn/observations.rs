//! Everything that was seen, by service.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;

use firewall_common::wire::{icmp, icmpv6};

use crate::{
    control::protocol::{IcmpMessage, Learned, SeenConnection},
    policy::message_name,
};

/// Most services that are told apart: a scan sees to it that there are many.
const MOST_SERVICES: usize = 2000;

/// Most addresses that are remembered of a service.
const MOST_REMOTES: usize = 10_000;

/// What connections are opened to, and which way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// `in` or `out`.
    pub direction: String,
    /// Name of the protocol, or its number; `ping` for echo requests of both families.
    pub protocol: String,
    /// The port, where there are ports.
    pub port: Option<u16>,
    /// The message, where it is one of ICMP and no echo request.
    pub icmp: Option<IcmpMessage>,
}

impl Service {
    fn of(seen: &SeenConnection) -> Self {
        // Nothing else of ICMP has flows.
        let is_ping = match &*seen.protocol {
            "icmp" => seen.passed || is(seen.icmp, icmp::ECHO_REQUEST),
            "icmpv6" => seen.passed || is(seen.icmp, icmpv6::ECHO_REQUEST),
            _ => false,
        };
        Self {
            direction: seen.direction.clone(),
            protocol: if is_ping { "ping" } else { &seen.protocol }.to_owned(),
            port: seen.port,
            icmp: seen.icmp.filter(|_| !is_ping),
        }
    }

    /// As the policy language writes it: `tcp/443`, `ping`, `icmp/13/0`, `protocol/112`.
    #[must_use]
    pub fn what(&self) -> String {
        if let Some(IcmpMessage { kind, code }) = self.icmp {
            return format!("{}/{kind}/{code}", self.protocol);
        }
        match (&*self.protocol, self.port) {
            (protocol, Some(port)) => format!("{protocol}/{port}"),
            (protocol, None) if protocol.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("protocol/{protocol}")
            }
            (protocol, None) => protocol.to_owned(),
        }
    }

    /// The same, with the name of an ICMP message that has one.
    #[must_use]
    pub fn describe(&self) -> String {
        let name = self
            .icmp
            .and_then(|message| message_name(self.protocol == "icmpv6", message.kind, message.code));
        match name {
            Some(name) => format!("{} ({name})", self.what()),
            None => self.what(),
        }
    }

    /// Whether a rule can name it: a message of ICMP has to be known, since few are ever to be let in.
    pub(super) fn has_rule(&self) -> bool {
        self.icmp.is_some() || !matches!(&*self.protocol, "icmp" | "icmpv6")
    }
}

fn is(message: Option<IcmpMessage>, kind: u8) -> bool {
    message == Some(IcmpMessage { kind, code: 0 })
}

/// What was seen of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Other ends, and how often each was seen.
    pub(super) remotes: BTreeMap<IpAddr, u64>,
    pub(super) count: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// Rules and reasons that have decided.
    pub(super) deciders: BTreeSet<String>,
    /// Whether other ends were left out, since there were too many.
    pub(super) has_more: bool,
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    pub(super) passed: BTreeMap<Service, Traffic>,
    /// What rules and defaults drop.
    pub(super) dropped: BTreeMap<Service, Traffic>,
    /// What is dropped whatever the rules say.
    pub(super) beyond: BTreeMap<Service, Traffic>,
    /// Ports that something listens on, and the processes, where they are known.
    pub(super) listening: BTreeMap<(String, u16), BTreeSet<String>>,
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// Connections that the agent has left out.
    unwatched: u64,
    /// Connections and packets of services that there was no room for.
    unplaced: u64,
    pub(super) events_lost: u64,
    connections: u64,
    packets: u64,
}

impl Observations {
    /// Takes in what was seen. `process` says who listens on a port.
    pub fn add(&mut self, learned: Learned, process: impl Fn(&str, u16) -> BTreeSet<String>) {
        let (first, _) = self.span.unwrap_or((learned.at, learned.at));
        self.span = Some((first, learned.at));
        self.unwatched = learned.left_out;
        self.events_lost = learned.events_lost;
        for socket in learned.listening.into_iter().flatten() {
            let processes = process(&socket.protocol, socket.port);
            let known = self.listening.entry((socket.protocol, socket.port)).or_default();
            known.extend(processes);
        }
        for seen in &learned.connections {
            self.see(seen, learned.at);
        }
    }

    fn see(&mut self, seen: &SeenConnection, at: Timestamp) {
        let services = if seen.passed {
            self.connections += seen.count;
            &mut self.passed
        } else {
            self.packets += seen.count;
            if seen.by_policy {
                &mut self.dropped
            } else {
                &mut self.beyond
            }
        };
        let service = Service::of(seen);
        if services.len() >= MOST_SERVICES && !services.contains_key(&service) {
            self.unplaced += seen.count;
            return;
        }
        let traffic = services.entry(service).or_insert_with(|| Traffic {
            remotes: BTreeMap::new(),
            count: 0,
            first: at,
            last: at,
            deciders: BTreeSet::new(),
            has_more: false,
        });
        traffic.count += seen.count;
        traffic.last = at;
        traffic.deciders.insert(seen.decider.clone());
        if traffic.remotes.len() < MOST_REMOTES || traffic.remotes.contains_key(&seen.remote) {
            *traffic.remotes.entry(seen.remote).or_default() += seen.count;
        } else {
            traffic.has_more = true;
        }
    }

    /// Connections that pass.
    #[must_use]
    pub const fn connections(&self) -> u64 {
        self.connections
    }

    /// Packets that were dropped and logged.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Connections and packets that are not in it.
    pub(super) const fn left_out(&self) -> u64 {
        self.unwatched + self.unplaced
    }

    /// Services that connections are opened to.
    #[must_use]
    pub fn services(&self) -> usize {
        self.passed.len()
    }
}
