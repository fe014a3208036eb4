//! iptables with a set of addresses or networks.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::{IpTables, Peer, script::feed};
use crate::wire::Lane;

/// A set and the rule that asks it.
pub(crate) struct IpSet(IpTables);

impl IpSet {
    /// Single addresses.
    pub(crate) fn addresses(lane: &Lane, addresses: impl Iterator<Item = [u8; 4]>) -> Result<Self> {
        Self::load(lane, "hash:ip", addresses.map(|address| (address, 32)))
    }

    /// Prefixes.
    pub(crate) fn prefixes(lane: &Lane, prefixes: impl Iterator<Item = ([u8; 4], u8)>) -> Result<Self> {
        Self::load(lane, "hash:net", prefixes)
    }

    fn load(lane: &Lane, kind: &str, prefixes: impl Iterator<Item = ([u8; 4], u8)>) -> Result<Self> {
        let prefixes: Vec<_> = prefixes.collect();
        let buckets = (prefixes.len() / 2).next_power_of_two();
        let room = prefixes.len();
        let mut text = format!("create bench {kind} hashsize {buckets} maxelem {room}\n");
        for ([a, b, c, d], length) in prefixes {
            writeln!(text, "add bench {a}.{b}.{c}.{d}/{length}")?;
        }
        feed(&lane.namespace, "ipset -exist restore", &text).context("ipset")?;
        Ok(Self(IpTables::matching(lane, "bench")?))
    }
}

impl Peer for IpSet {
    fn dropped(&self, lane: &Lane) -> Result<u64> {
        self.0.dropped(lane)
    }
}
