//! nftables at the netdev ingress hook, the earliest that it has.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::{Peer, nft_counter, script::feed};
use crate::{
    plain_rule::{DropRule, PORT},
    wire::Lane,
};

/// Rules on a lane.
pub(crate) struct Nft;

impl Nft {
    /// One rule for each, and one that drops what is sent.
    pub(crate) fn linear(lane: &Lane, rules: &[DropRule]) -> Result<Self> {
        let mut chain = String::new();
        for DropRule { source, length, port } in rules {
            let [a, b, c, d] = source;
            writeln!(chain, "ip saddr {a}.{b}.{c}.{d}/{length} udp dport {port} drop")?;
        }
        writeln!(chain, "udp dport {PORT} counter name dropped drop")?;
        Self::load(lane, "", &chain)
    }

    /// Single addresses in a hash.
    pub(crate) fn addresses(lane: &Lane, addresses: impl Iterator<Item = [u8; 4]>) -> Result<Self> {
        let elements = list(addresses.map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")));
        let set = format!("set s {{ type ipv4_addr; elements = {{ {elements} }} }}");
        Self::load(lane, &set, "ip saddr @s counter name dropped drop")
    }

    /// Prefixes in an interval set.
    pub(crate) fn prefixes(lane: &Lane, prefixes: impl Iterator<Item = ([u8; 4], u8)>) -> Result<Self> {
        let elements = list(prefixes.map(|([a, b, c, d], length)| format!("{a}.{b}.{c}.{d}/{length}")));
        let set =
            format!("set s {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {elements} }} }}");
        Self::load(lane, &set, "ip saddr @s counter name dropped drop")
    }

    /// Rules of an address and a port each as elements of one set: what somebody who knows nftables makes of many
    /// rules of one shape.
    pub(crate) fn concatenated(lane: &Lane, addresses: impl Iterator<Item = [u8; 4]>) -> Result<Self> {
        let elements = list(addresses.map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d} . {PORT}")));
        let set = format!("set s {{ type ipv4_addr . inet_service; elements = {{ {elements} }} }}");
        Self::load(lane, &set, "ip saddr . udp dport @s counter name dropped drop")
    }

    fn load(lane: &Lane, set: &str, chain: &str) -> Result<Self> {
        let interface = lane.interface();
        let text = format!(
            "table netdev bench {{\ncounter dropped {{ }}\n{set}\nchain in {{\n\
             type filter hook ingress device {interface} priority 0; policy accept;\n{chain}\n}}\n}}\n"
        );
        feed(&lane.namespace, "nft -f -", &text).context("nftables")?;
        Ok(Self)
    }
}

fn list(elements: impl Iterator<Item = String>) -> String {
    elements.collect::<Vec<_>>().join(",\n")
}

impl Peer for Nft {
    fn dropped(&self, lane: &Lane) -> Result<u64> {
        nft_counter::packets(&lane.namespace, nft_counter::NETDEV, "bench", "dropped")
    }
}
