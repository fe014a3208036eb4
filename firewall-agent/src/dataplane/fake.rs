//! A kernel in memory, for tests of everything above the dataplane.
//!
//! It keeps the promises that the kernel keeps (slots, the cell, adoption, flows in real tables, errors where the
//! kernel gives errors), but judges no packets.

mod dataplane;
mod kernel;

pub use dataplane::FakeDataplane;
pub use kernel::{FakeKernel, Operation};

#[cfg(test)]
mod tests;
