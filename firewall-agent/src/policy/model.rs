//! The validated policy: what the compiler takes and what an explanation speaks of.
//!
//! Everything here is resolved and numeric: names of hosts, groups and services are gone, each rule has one direction,
//! and every set is sorted, disjoint and maximal (no two ranges touch). A value of these types can only describe a
//! policy that has passed validation.

use std::{ops::RangeInclusive, sync::Arc};

use jiff::Timestamp;
use toml::value::Date;

use super::list::Entries;
use crate::prefix_set::Members;

/// A place in a policy file, kept to the end so that a live counter can still say `web.toml:14`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The file as the operator named it.
    pub file: Arc<str>,
    /// First line of the rule, counted from one.
    pub line: u32,
    /// Byte range of the rule in the file.
    pub span: std::ops::Range<usize>,
}

/// Which way a packet goes, seen from this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Arrives for this host.
    In,
    /// Leaves this host.
    Out,
    /// Passes through between declared forwarded networks or interfaces.
    Forward,
}

/// What happens to a packet that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Passes, and opens a flow.
    Allow,
    /// Is dropped silently.
    Drop,
    /// Is dropped and answered: TCP by a reset, everything else by an ICMP unreachable.
    Reject,
}

/// Sorted, disjoint, non-adjacent inclusive ranges.
pub type Ranges<T> = Vec<RangeInclusive<T>>;

/// Addresses of both families, as numbers in host order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressSet {
    /// IPv4 ranges.
    pub v4: Ranges<u32>,
    /// IPv6 ranges.
    pub v6: Ranges<u128>,
}

/// One kind of packet that a rule speaks of. A rule holds a list of them; any may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolMatch {
    /// Every protocol, known or not.
    Any,
    /// One of the transports with ports; an empty list of ranges is written as the full range.
    Ports {
        /// IP protocol number: TCP 6, UDP 17, SCTP 132, UDP-Lite 136.
        protocol: u8,
        /// Source ports.
        source: Ranges<u16>,
        /// Destination ports.
        destination: Ranges<u16>,
    },
    /// `ICMPv4` messages: `type << 8 | code` ranges.
    Icmp4(Ranges<u16>),
    /// `ICMPv6` messages: `type << 8 | code` ranges.
    Icmp6(Ranges<u16>),
    /// Any other protocol by its number.
    Number(u8),
}

/// Conditions on a packet; all must hold. `None` means "does not matter".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matches {
    /// Any of these kinds of packet; never empty.
    pub protocols: Vec<ProtocolMatch>,
    /// Source address; `None` is every address of both families.
    pub source: Option<AddressSet>,
    /// Destination address; `None` is every address of both families.
    pub destination: Option<AddressSet>,
    /// Interface name globs, any of which may match.
    pub interfaces: Option<Vec<String>>,
    /// 802.1Q VLAN identifiers of the outermost tag; untagged is not among them.
    pub vlans: Option<Ranges<u16>>,
}

/// How many log events of one rule leave the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRate {
    /// At most so many events in each second; at least 1.
    pub events_per_second: u16,
}

/// One rule, resolved for this host. A sentence of the file that holds both ways (peers) yields two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The operator's name for it; unique in the policy; the key of its counters. Where one sentence yields an
    /// incoming and an outgoing rule, the two names are `name/in` and `name/out`.
    pub name: Arc<str>,
    /// Where it is written.
    pub origin: Origin,
    /// Which packets it judges.
    pub direction: Direction,
    /// Conditions.
    pub matches: Matches,
    /// Verdict.
    pub action: Action,
    /// Log events, if wanted.
    pub log: Option<LogRate>,
    /// Who answers for it.
    pub owner: Option<Arc<str>>,
    /// Why it is there.
    pub reason: Option<Arc<str>>,
    /// The last day before somebody should look at it again.
    pub review: Option<Date>,
    /// How long it holds, if it ends by itself.
    pub term: Option<Term>,
}

/// How long a rule holds that ends by itself. The calendar says what was meant; what ends it is the kernel's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term {
    /// When it was added.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

impl Rule {
    /// Whether the day of its review is over.
    #[must_use]
    pub fn is_overdue(&self, today: Date) -> bool {
        let days = |date: Date| (date.year, date.month, date.day);
        self.review.is_some_and(|review| days(review) < days(today))
    }
}

/// The verdict where no rule matches, by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// For packets to this host.
    pub input: Action,
    /// For packets from this host.
    pub output: Action,
    /// For forwarded packets.
    pub forward: Action,
}

/// Idle times after which a flow ends, in seconds. Floors: RFC 5382 REQ-5, RFC 4787 REQ-5, RFC 5508 REQ-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// TCP after the handshake.
    pub tcp_established_seconds: u32,
    /// TCP half-open or closing.
    pub tcp_transitory_seconds: u32,
    /// TCP after a reset was seen; traffic of both sides revives the flow.
    pub tcp_reset_seconds: u32,
    /// UDP and UDP-Lite without a reply.
    pub udp_unreplied_seconds: u32,
    /// UDP and UDP-Lite with a reply.
    pub udp_replied_seconds: u32,
    /// ICMP echo.
    pub icmp_seconds: u32,
    /// Any other protocol.
    pub other_seconds: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            tcp_established_seconds: 24 * 3600,
            tcp_transitory_seconds: 240,
            tcp_reset_seconds: 10,
            udp_unreplied_seconds: 120,
            udp_replied_seconds: 300,
            icmp_seconds: 60,
            other_seconds: 600,
        }
    }
}

/// Management access that no rule can take away. It comes from the agent's settings, not from a policy layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failsafe {
    /// Who may manage this host.
    pub management_sources: AddressSet,
    /// TCP ports on this host for management; at most four.
    pub management_ports: Vec<u16>,
    /// Name servers this host may always ask (UDP and TCP port 53).
    pub resolvers: AddressSet,
}

/// Traffic that is not for this host and is left to forward rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// Networks behind this host.
    pub networks: AddressSet,
    /// Globs of interfaces that this host has nothing of its own on: all of their traffic is forwarded.
    pub interfaces: Vec<String>,
}

/// What the policy says beside its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the operator, not a state"
)]
pub struct PolicySettings {
    /// Verdicts where no rule matches.
    pub defaults: Defaults,
    /// Idle times.
    pub timers: Timers,
    /// Globs of interface names to attach to; `lo` is never attached.
    pub interfaces: Vec<String>,
    /// What is forwarded.
    pub forwarded: Forwarded,
    /// A TCP packet in mid-flow without a state may open a flow where a rule allows it as new. Off by default.
    pub tcp_midflow_pickup: bool,
    /// Live flows are not judged again by a new generation (bans still end them). Off by default.
    pub keep_live_flows: bool,
    /// ICMP redirects are left to the rules instead of being dropped. Off by default.
    pub allow_icmp_redirects: bool,
    /// IPv4 loose and strict source routing is left to the rules instead of being dropped. Off by default.
    pub allow_source_routing: bool,
    /// Further EtherTypes that pass unfiltered, beside ARP and the link-level ones.
    pub allowed_ether_types: Vec<u16>,
}

/// A list of addresses whose packets are dropped, both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockList {
    /// Its name; unique in the policy.
    pub name: Arc<str>,
    /// Where it is named.
    pub origin: Origin,
    /// Its file.
    pub file: Arc<str>,
    /// What stands in it.
    pub entries: Arc<Entries>,
}

/// A policy that has passed every check, resolved for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidPolicy {
    /// The role it was resolved for.
    pub role: Arc<str>,
    /// The host it was resolved for, if the inventory names it.
    pub host: Option<Arc<str>>,
    /// Beside the rules.
    pub settings: PolicySettings,
    /// Management access.
    pub failsafe: Failsafe,
    /// In the order in which they are tried: first match wins.
    pub rules: Vec<Rule>,
    /// Whom every packet from and to is dropped of, after the failsafe.
    pub lists: Vec<BlockList>,
}

impl ValidPolicy {
    /// What all block lists have together, merged.
    #[must_use]
    pub fn listed(&self) -> Members {
        Entries::merged(self.lists.iter().map(|list| &*list.entries))
    }
}
