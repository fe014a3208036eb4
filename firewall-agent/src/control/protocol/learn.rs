//! Live traffic as it is seen, for whoever drafts a policy from it.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::IcmpMessage;

/// How long to watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learn {
    /// End after so long; without it, when the client goes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Connections that are alike, of which something new was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeenConnection {
    /// `in` where the other end has opened it, else `out`.
    pub direction: String,
    /// Name of the protocol, or its number.
    pub protocol: String,
    /// The port that it was opened to, where there are ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The message, where it is one of ICMP that does not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpMessage>,
    /// The other end.
    pub remote: IpAddr,
    /// Whether it passes.
    pub passed: bool,
    /// Whether a rule or a default has decided: what anything else drops no rule lets in.
    pub by_policy: bool,
    /// The rule that decided, or else the reason.
    pub decider: String,
    /// New connections; packets that were logged, where it does not pass.
    pub count: u64,
}

/// A socket that takes connections or packets from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listening {
    /// Name of the protocol.
    pub protocol: String,
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// What was seen since the last answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Now.
    pub at: Timestamp,
    /// What is new.
    pub connections: Vec<SeenConnection>,
    /// Listening sockets, where they have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<Vec<Listening>>,
    /// Connections since the beginning that were too many to be remembered.
    pub left_out: u64,
    /// Log events since the beginning that were lost.
    pub events_lost: u64,
    /// Whether this is the end.
    pub ended: bool,
}
