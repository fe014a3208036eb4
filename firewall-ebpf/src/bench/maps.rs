//! What an image reads beside its own map. The classifier that is measured by itself has no compact chains.

use aya_ebpf::{macros::map, maps::Array};
use firewall_common::compact::CompactChain;

#[map]
pub(crate) static COMPACT: Array<CompactChain> = Array::with_max_entries(1, 0);
