//! A change of a set that may be in force.

use super::Prefix;

/// Everything in one place is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Between two IPv4 addresses.
    V4 {
        /// The first.
        first: u32,
        /// The last.
        last: u32,
        /// The members there afterwards: ranges in order, merged.
        inside: Vec<(u32, u32)>,
    },
    /// Below an IPv6 prefix.
    V6 {
        /// The prefix.
        place: Prefix,
        /// The members there afterwards: disjoint, in order.
        inside: Vec<Prefix>,
    },
}
