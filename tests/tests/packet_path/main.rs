//! The packet path without a kernel: the very code that the eBPF programs run, over collections, with the clock in
//! the test's hand. Tests are named after the scenario that they show; each has its negative beside it.
//!
//! The suite `packet_path_kernel` runs the same tests through the programs themselves.

mod fragments;
mod icmp;
mod ipv6;
mod lifecycle;
mod lists;
mod malformed;
mod noise;
mod plain;
mod tcp;
mod timed;
mod udp;

use firewall_tests::engine::InMemory;

type Host = firewall_tests::host::Host<InMemory>;

/// Damaged frames that [`noise`] makes.
const NOISE_FRAMES: usize = 300_000;
/// Reasons that they meet at least.
const NOISE_REASONS: usize = 30;
