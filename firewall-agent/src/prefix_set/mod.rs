//! Builds and changes the sets of [`firewall_common::prefix_set`], while programs read them.
#![expect(
    clippy::cast_possible_truncation,
    reason = "addresses and block numbers are cut to the width of their part"
)]

mod arena;
mod change;
mod container;
mod members;
mod memory;
mod prefix;
mod sets;
mod tree;

pub use arena::Full;
pub use change::Change;
pub use members::Members;
pub use memory::{HeapMemory, Memory};
pub use prefix::Prefix;
pub use sets::PrefixSets;
