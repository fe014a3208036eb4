//! What a user would pick instead, each set up behind a lane of its own or for runs of its program.

mod ipset;
mod iptables;
mod nft;
mod nft_counter;
mod ours;
mod script;
mod stateful_nft;
mod trivial;
mod xdp_filter;

pub(crate) use self::{
    ipset::IpSet,
    iptables::IpTables,
    nft::Nft,
    ours::Ours,
    stateful_nft::StatefulNft,
    trivial::Trivial,
    xdp_filter::{CAPACITY as XDP_FILTER_CAPACITY, NAME as XDP_FILTER, XdpFilter},
};

use std::collections::BTreeMap;

use anyhow::Result;

use crate::wire::Lane;

/// Something that drops what comes in on a lane.
pub(crate) trait Peer {
    /// Packets that it says to have dropped where it should.
    fn dropped(&self, lane: &Lane) -> Result<u64>;
}

/// The versions of the peers, as they tell them.
pub(crate) fn versions() -> BTreeMap<String, String> {
    [
        ("nftables", "nft"),
        ("iptables", "iptables-legacy"),
        ("ipset", "ipset"),
        ("xdp-filter", "xdp-filter"),
    ]
    .into_iter()
    .filter_map(|(name, program)| {
        let text = script::output(program, &["--version"]).ok()?;
        Some((name.to_owned(), text.lines().next()?.trim().to_owned()))
    })
    .collect()
}
