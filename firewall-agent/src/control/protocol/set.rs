//! Block lists, and changes of them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One block list in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ListSummary {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The policy file that names it, as `file:line`.
    pub origin: String,
    /// IPv4 entries, as they stand in the file.
    pub ipv4_entries: usize,
    /// IPv6 prefixes.
    pub ipv6_entries: usize,
}

/// The block lists in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Lists {
    /// In the order in which the policy names them.
    pub lists: Vec<ListSummary>,
}

/// One block list with its first lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct ListDetail {
    /// What it is.
    #[serde(flatten)]
    pub list: ListSummary,
    /// Its first lines.
    pub lines: Vec<String>,
    /// How many come behind them.
    pub lines_left_out: usize,
}
