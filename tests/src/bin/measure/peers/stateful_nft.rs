//! nftables as a stateful firewall of a server, the way its documentation shows it.

use std::fmt::Write;

use anyhow::{Context, Result};
use firewall_tests::netns::NetNs;

use super::{nft_counter, script::feed};
use crate::plain_rule::DropRule;

/// Replies by connection tracking, then the rules, then what is served.
pub(crate) struct StatefulNft;

impl StatefulNft {
    /// Loads it into a server's namespace.
    pub(crate) fn new(server: &NetNs, rules: &[DropRule], port: u16) -> Result<Self> {
        let mut chain = String::new();
        for DropRule { source, length, port } in rules {
            let [a, b, c, d] = source;
            writeln!(chain, "ip saddr {a}.{b}.{c}.{d}/{length} tcp dport {port} drop")?;
        }
        let text = format!(
            "table inet bench {{\ncounter allowed {{ }}\nchain input {{\n\
             type filter hook input priority 0; policy drop;\n\
             ct state established,related accept\nct state invalid drop\niif lo accept\n\
             meta l4proto icmpv6 accept\n{chain}\ntcp dport {port} counter name allowed accept\n}}\n\
             chain output {{\ntype filter hook output priority 0; policy drop;\n\
             ct state established,related accept\noif lo accept\nmeta l4proto icmpv6 accept\n}}\n}}\n"
        );
        feed(server, "nft -f -", &text).context("nftables")?;
        Ok(Self)
    }

    /// Connections that it has let in.
    pub(crate) fn allowed(server: &NetNs) -> Result<u64> {
        nft_counter::packets(server, nft_counter::INET, "bench", "allowed")
    }
}
