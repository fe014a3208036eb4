//! What the agent keeps on disk: every confirmed revision, which counter belongs to which rule, and what ends by itself.
//!
//! ```text
//! STATE_DIR/lock                            held by the agent that uses the directory
//! STATE_DIR/current                         the number of the last confirmed revision
//! STATE_DIR/revisions/7/manifest.json       who, when, why, hashes
//! STATE_DIR/revisions/7/00-base.toml, …     the policy files, whole
//! STATE_DIR/pending.json                    the change that is in force until it is confirmed, if there is one
//! STATE_DIR/intent.json                     what a change is about to write, while it is made
//! STATE_DIR/history                         who changed what, each entry with the hash of the one before
//! STATE_DIR/history.head                    number and hash of the last entry
//! STATE_DIR/panic.json                      who has the host in panic, while it is
//! STATE_DIR/pause.json                      a pause that is made or ended, until the history tells of it
//! STATE_DIR/counters.json                   counter numbers by rule name
//! STATE_DIR/bans.json                       bans, until they end
//! STATE_DIR/timed-rules.toml                rules that end by themselves, until they do
//! STATE_DIR/settings.toml                   the settings that the agent last started with
//! STATE_DIR/ends.json                       when those end, on the clock of this boot
//! ```
//!
//! A revision is complete and durable before its directory has its name, and it counts only when `current` names it.

mod bans;
mod counters;
mod directory;
pub(crate) mod durable;
mod ends;
mod error;
pub mod history;
mod intent;
mod manifest;
mod moment;
mod note;
mod panic;
mod pending;
mod revisions;
mod ssh;
mod unrecorded;

pub use bans::{Ban, BanFile, KeptBans};
pub use counters::{CounterNumbers, Numbering};
pub use directory::StateDirectory;
pub use ends::Ends;
pub use error::{LostFile, StateError};
pub use history::{Chain, Entry, Event, Fault, Head, History, Record};
pub use intent::{IntendedWrite, Intent, IntentFile, Known};
pub use manifest::{Actor, Cause, FileEntry, Manifest, sha256_hex};
pub use moment::{LONGEST, Moment};
pub use note::Note;
pub use panic::Panic;
pub use pending::{Pending, PendingFile, Write};
pub use revisions::{NewRevision, PolicyFile, Recovered, Revision, Revisions};
pub use ssh::SshConnection;
pub use unrecorded::Unrecorded;
