//! Why a policy does not fit into an image. Nothing is ever cut to fit.

use std::sync::Arc;

use firewall_common::image::Chain;

/// A limit of the image that the policy exceeds, or a promise of [`crate::policy::model`] that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// More rules than counter numbers.
    #[error("the policy has {rules} rules; at most {limit} can be told apart")]
    TooManyRules {
        /// Rules in the policy.
        rules: usize,
        /// Most rules.
        limit: usize,
    },
    /// More conjunctions in one chain than a bit vector covers.
    #[error(
        "{chain:?} has {records} entries (a rule has one for each source port of its protocols); at most {limit} fit"
    )]
    ChainTooLong {
        /// The chain.
        chain: Chain,
        /// Its entries.
        records: usize,
        /// Most entries.
        limit: u32,
    },
    /// The image would be too large.
    #[error("the tables need more than {limit} blocks of 64 bytes")]
    ImageTooLarge {
        /// Most blocks.
        limit: u32,
    },
    /// A list that has a fixed number of places in the image.
    #[error("{count} {what}; at most {limit} fit")]
    TooMany {
        /// What is listed.
        what: &'static str,
        /// How many.
        count: usize,
        /// Most.
        limit: usize,
    },
    /// Zero among numbers where it means "none".
    #[error("0 among the {what}")]
    Zero {
        /// What is listed.
        what: &'static str,
    },
    /// Ranges that overlap or are out of order.
    #[error("the {what} of {owner} are not in order")]
    Unsorted {
        /// What the ranges are of.
        what: &'static str,
        /// Rule or setting.
        owner: Arc<str>,
    },
    /// A VLAN identifier beyond 12 bits (IEEE 802.1Q 9.6).
    #[error("rule `{rule}` names VLAN {vlan}; the highest is 4095")]
    Vlan {
        /// The rule.
        rule: Arc<str>,
        /// The identifier.
        vlan: u16,
    },
    /// Rules that end by themselves, at more different times than one chain has room for.
    #[error(
        "rules that are tried together end at {count} different times ({}); at most {limit} fit", names(.rules)
    )]
    TooManyEnds {
        /// How many.
        count: usize,
        /// The rules that end, in order.
        rules: Vec<Arc<str>>,
        /// Most.
        limit: usize,
    },
    /// An interface pattern that is none.
    #[error("rule `{rule}`: interface pattern `{glob}`: {reason}")]
    Glob {
        /// The rule.
        rule: Arc<str>,
        /// The pattern.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn names(rules: &[Arc<str>]) -> String {
    rules.join(", ")
}
