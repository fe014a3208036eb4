//! Sizes of the kernel's tables.

use serde::{Deserialize, Deserializer, de::Error as _};

/// How much the kernel side can hold. Memory is taken at the first start and kept until the agent is unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableSettings {
    /// Flows whose opener has gone on after a reply; never evicted for a new one. About 73 bytes each, rounded up to a
    /// power of two.
    #[serde(deserialize_with = "flows")]
    pub flows: u32,
    /// Flows that are half open or have no reply yet; about 73 bytes each, rounded up to a power of two.
    #[serde(deserialize_with = "flows")]
    pub half_open_flows: u32,
    /// Rules that have counters, by name, those of former policies among them until their place is needed. 32 bytes
    /// for each CPU.
    #[serde(deserialize_with = "counters")]
    pub rule_counters: u32,
    /// Prefixes in the ban table of each family.
    #[serde(deserialize_with = "bans")]
    pub bans: u32,
    /// Blocks of 64 bytes for block lists, of all policies that are loaded at a time. A million random addresses take
    /// 65,536 (IPv4) or 400,000 (IPv6).
    #[serde(deserialize_with = "list_blocks")]
    pub list_blocks: u32,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self {
            flows: 262_144,
            half_open_flows: 65_536,
            rule_counters: 16_384,
            bans: 65_536,
            list_blocks: 262_144,
        }
    }
}

fn flows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    between(deserializer, 1 << 10, 1 << 26)
}

/// Counter numbers have 16 bits, of which one value means "no rule" and the first few are the defaults'.
fn counters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    between(deserializer, 64, 65_535)
}

fn bans<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    between(deserializer, 1, 1 << 24)
}

fn list_blocks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    between(deserializer, 1, 1 << 24)
}

fn between<'de, D: Deserializer<'de>>(deserializer: D, least: u32, most: u32) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(D::Error::custom(format!(
            "{number} is not between {least} and {most}"
        )))
    }
}
