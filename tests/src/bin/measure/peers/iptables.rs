//! iptables in the raw table, before routing and connection tracking.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::{
    Peer,
    script::{feed, run},
};
use crate::{
    plain_rule::{DropRule, PORT},
    wire::Lane,
};

/// Rules on a lane.
pub(crate) struct IpTables {
    last: usize,
}

impl IpTables {
    /// One rule for each, and one that drops what is sent.
    pub(crate) fn linear(lane: &Lane, rules: &[DropRule]) -> Result<Self> {
        let mut text = String::from("*raw\n");
        for DropRule { source, length, port } in rules {
            let [a, b, c, d] = source;
            writeln!(
                text,
                "-A PREROUTING -s {a}.{b}.{c}.{d}/{length} -p udp --dport {port} -j DROP"
            )?;
        }
        writeln!(text, "-A PREROUTING -p udp --dport {PORT} -j DROP\nCOMMIT")?;
        Self::restore(lane, &text, rules.len() + 1)
    }

    /// One rule that asks a set.
    pub(super) fn matching(lane: &Lane, set: &str) -> Result<Self> {
        let text = format!("*raw\n-A PREROUTING -m set --match-set {set} src -j DROP\nCOMMIT\n");
        Self::restore(lane, &text, 1)
    }

    fn restore(lane: &Lane, text: &str, last: usize) -> Result<Self> {
        feed(&lane.namespace, "iptables-legacy-restore --wait", text).context("iptables")?;
        Ok(Self { last })
    }
}

/// Packets of the only rule listed.
fn packets(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

impl Peer for IpTables {
    fn dropped(&self, lane: &Lane) -> Result<u64> {
        let command = format!("iptables-legacy --wait -t raw -nvxL PREROUTING {}", self.last);
        let text = run(&lane.namespace, &command)?;
        packets(&text).with_context(|| format!("iptables says {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_from_a_rule() {
        let text = "     204     9384 DROP       udp  --  *      *       0.0.0.0/0            0.0.0.0/0\n";
        assert_eq!(packets(text), Some(204));
        assert_eq!(packets("\n"), None);
    }
}
