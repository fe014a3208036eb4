//! Live flows.

use std::{cmp::Ordering, net::IpAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which flows; all conditions must hold. An empty filter is every flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowFilter {
    /// Address of the other end is in this network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpNet>,
    /// Address of this end is in this network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<IpNet>,
    /// Port of either end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// IP protocol by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// The rule that let it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Port of the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_port: Option<u16>,
    /// Port of this end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_port: Option<u16>,
    /// `in` where the other end has opened it, `out` where this one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// At least so many seconds old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age_seconds: Option<u64>,
    /// Without a packet for at least so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_idle_seconds: Option<u64>,
    /// Ends within so many seconds, if no packet comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_left_seconds: Option<u64>,
}

impl FlowFilter {
    /// Whether it takes every flow.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// What flows are put in order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowSort {
    /// Protocol.
    Protocol,
    /// Address and port of the other end.
    Remote,
    /// Address and port of this end.
    Local,
    /// State.
    State,
    /// The rule that let it in.
    Rule,
    /// Time since its first packet.
    Age,
    /// Time since its last packet.
    Idle,
    /// Time until it ends.
    Left,
}

impl FlowSort {
    /// Which of two flows comes first.
    #[must_use]
    pub fn compare(self, one: &FlowInfo, other: &FlowInfo) -> Ordering {
        let end = |end: &FlowEnd| (end.address, end.port);
        match self {
            Self::Protocol => one.protocol.cmp(&other.protocol),
            Self::Remote => end(&one.remote).cmp(&end(&other.remote)),
            Self::Local => end(&one.local).cmp(&end(&other.local)),
            Self::State => one.state.cmp(&other.state),
            Self::Rule => one.rule.cmp(&other.rule),
            Self::Age => one.age_seconds.cmp(&other.age_seconds),
            Self::Idle => one.idle_seconds.cmp(&other.idle_seconds),
            Self::Left => one.remaining_seconds.cmp(&other.remaining_seconds),
        }
    }
}

/// One end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct FlowEnd {
    /// Address.
    pub address: IpAddr,
    /// Port, where the protocol has ports; of this end the identifier, where it is ICMP echo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A live flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct FlowInfo {
    /// Name of the protocol, or its number.
    pub protocol: String,
    /// The other end.
    pub remote: FlowEnd,
    /// This end.
    pub local: FlowEnd,
    /// `in` where the other end has opened it, `out` where this one has.
    pub direction: String,
    /// Its state.
    pub state: String,
    /// The rule that let it in.
    pub rule: String,
    /// Whether that rule has ended by itself since: the rules that are left decide on the next packet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rule_ended: bool,
    /// Seconds since its first packet.
    pub age_seconds: u64,
    /// Seconds since its last packet.
    pub idle_seconds: u64,
    /// Seconds until it ends if no packet comes.
    pub remaining_seconds: u64,
}

/// Live flows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Flows {
    /// At most as many as were asked for.
    pub flows: Vec<FlowInfo>,
    /// How many there are that fit.
    pub total: u64,
}

/// What was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct FlowsDeleted {
    /// How many.
    pub flows: u64,
}
