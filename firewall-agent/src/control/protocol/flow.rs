//! Live flows.

use std::net::IpAddr;

use ipnet::IpNet;
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
}

impl FlowFilter {
    /// Whether it takes every flow.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// One end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEnd {
    /// Address.
    pub address: IpAddr,
    /// Port, where the protocol has ports; of this end the identifier, where it is ICMP echo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A live flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Seconds since its first packet.
    pub age_seconds: u64,
    /// Seconds since its last packet.
    pub idle_seconds: u64,
    /// Seconds until it ends if no packet comes.
    pub remaining_seconds: u64,
}

/// Live flows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flows {
    /// At most as many as were asked for.
    pub flows: Vec<FlowInfo>,
    /// How many there are that fit.
    pub total: u64,
}

/// What was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsDeleted {
    /// How many.
    pub flows: u64,
}
