//! The history of changes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Confirm;
use crate::state::{Entry, Head};

/// One entry, with its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct HistoryEntry {
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// SHA-256 of it as it is stored.
    pub hash: String,
}

/// The newest entries, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct HistoryList {
    /// The entries.
    pub entries: Vec<HistoryEntry>,
    /// How many there are in all.
    pub total: usize,
    /// The last one.
    pub head: Head,
    /// Places in which the chain is broken.
    pub faults: usize,
}

/// Something that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct HistoryFault {
    /// Line of the file `history`, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What a look at every link has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct HistoryVerdict {
    /// Entries that there are.
    pub entries: usize,
    /// The last one.
    pub head: Head,
    /// What is wrong.
    pub faults: Vec<HistoryFault>,
}

/// A former revision to be put in force again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Its number.
    pub to: u64,
    /// Whether it has to be confirmed.
    #[serde(default)]
    pub confirm: Confirm,
    /// Also where it would cut a management connection. Only with a confirmation.
    #[serde(default)]
    pub force: bool,
    /// Why, for the revision.
    #[serde(default)]
    pub why: Option<String>,
}
