//! Log events: packets that a rule or a drop reason wanted logged.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which events; all conditions must hold. An empty filter is every event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventFilter {
    /// The rule that decided, or a default such as `(default in)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Name of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// An end's address is in this network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpNet>,
    /// Port of either end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `in` or `out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// `pass`, `drop` or `reject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// An ICMP message of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema, Deserialize)]
pub struct IcmpMessage {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Its code.
    pub code: u8,
}

/// A packet that was logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct EventInfo {
    /// When the verdict was given.
    pub at: Timestamp,
    /// `in` or `out`.
    pub direction: String,
    /// The interface's name, or its index where it is gone.
    pub interface: String,
    /// `pass`, `drop` or `reject`.
    pub verdict: String,
    /// Name of the reason.
    pub reason: String,
    /// The rule that decided, or a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Name of the protocol, or its number; none where the packet is not IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Source address, where the packet is IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Source port, where there are ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// Destination address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<IpAddr>,
    /// Destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// The message, where it is ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpMessage>,
    /// Bytes of the packet from the link-level header on.
    pub length: u32,
    /// The packet in a line.
    pub packet: String,
}

/// Events, and how many this reader was too slow for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Events {
    /// In the order in which they came; none where nothing has happened for a while.
    pub events: Vec<EventInfo>,
    /// Events before these that the agent had to leave out, since the reader did not take them in time. The filter was
    /// not asked about them.
    pub lost: u64,
}

impl EventFilter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn takes(&self, event: &EventInfo) -> bool {
        let is = |wanted: &Option<String>, word: &str| wanted.as_ref().is_none_or(|wanted| wanted == word);
        let has_rule = |wanted: &String| {
            let rule = event.rule.as_deref().unwrap_or_default();
            rule == wanted || rule.rsplit_once('/').is_some_and(|(whole, _)| whole == wanted)
        };
        let is_end = |network: &IpNet| {
            let mut ends = [event.source, event.destination].into_iter().flatten();
            ends.any(|address| network.contains(&address))
        };
        let has_port = |port: u16| event.source_port == Some(port) || event.destination_port == Some(port);
        self.rule.as_ref().is_none_or(has_rule)
            && is(&self.reason, &event.reason)
            && is(&self.direction, &event.direction)
            && is(&self.verdict, &event.verdict)
            && self.address.as_ref().is_none_or(is_end)
            && self.port.is_none_or(has_port)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A packet to a port for remote logins that a rule has dropped.
    pub(crate) fn event() -> EventInfo {
        EventInfo {
            at: Timestamp::UNIX_EPOCH,
            direction: "in".to_owned(),
            interface: "eth0".to_owned(),
            verdict: "drop".to_owned(),
            reason: "rule".to_owned(),
            rule: Some("peers/in".to_owned()),
            protocol: Some("tcp".to_owned()),
            source: "192.0.2.1".parse().ok(),
            source_port: Some(4711),
            destination: "198.51.100.7".parse().ok(),
            destination_port: Some(22),
            icmp: None,
            length: 60,
            packet: String::new(),
        }
    }

    #[test]
    fn every_condition_counts() {
        let text = |text: &str| Some(text.to_owned());
        let all = EventFilter {
            rule: text("peers"),
            reason: text("rule"),
            address: "198.51.100.0/24".parse().ok(),
            port: Some(22),
            direction: text("in"),
            verdict: text("drop"),
        };
        assert!(EventFilter::default().takes(&event()));
        assert!(all.takes(&event()));
        let others: [fn(&mut EventFilter); 6] = [
            |filter| filter.rule = Some("peer".to_owned()),
            |filter| filter.reason = Some("default".to_owned()),
            |filter| filter.address = "203.0.113.0/24".parse().ok(),
            |filter| filter.port = Some(443),
            |filter| filter.direction = Some("out".to_owned()),
            |filter| filter.verdict = Some("pass".to_owned()),
        ];
        for change in others {
            let mut filter = all.clone();
            change(&mut filter);
            assert!(!filter.takes(&event()), "{filter:?}");
        }
    }
}
