//! Sets of prefixes against a list of ranges that is searched from end to end.
#![expect(
    clippy::cast_possible_truncation,
    reason = "addresses are cut from random numbers"
)]

mod edits;
mod model;
mod readers;
mod shapes;
mod size;
