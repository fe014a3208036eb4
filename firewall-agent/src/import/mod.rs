//! Rule sets of other firewalls, written in the language of this one.
//!
//! What has no exact counterpart is not carried over: it becomes a comment with its source and the reason, and whoever
//! imports decides. Nothing is guessed.

mod conditions;
mod iptables;
mod nft;
mod policy;

pub use policy::{Imported, LeftOut};

use conditions::Item;

/// The other firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `iptables-save` or `ip6tables-save`.
    Iptables,
    /// `nft -j list ruleset`.
    Nft,
}

/// Why a text cannot be imported at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is not what it is said to be.
    #[error("this is not what `{command}` prints: {why}")]
    NotThat {
        /// What prints it.
        command: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Imports a rule set as the policy of a role.
pub fn import(format: Format, text: &str, role: &str) -> Result<Imported, ImportError> {
    let ruleset = match format {
        Format::Iptables => iptables::read(text)?,
        Format::Nft => nft::read(text)?,
    };
    Ok(policy::write(&ruleset, role))
}

/// A rule set as far as it was understood.
#[derive(Debug, Default)]
struct Ruleset {
    /// Of incoming and of outgoing packets, where the rule set says it, and where that was said.
    defaults: [Option<ChainPolicy>; 2],
    items: Vec<Item>,
}

/// What becomes of packets that no rule names.
#[derive(Debug, Clone)]
struct ChainPolicy {
    accepts: bool,
    family: conditions::Family,
    source: String,
}
