//! The scenarios of `packet_path`, through the programs in the kernel: each frame is run by `BPF_PROG_TEST_RUN`, and
//! verdict, reason and rule are what the programs' counters say. Needs root.

mod agreement;
mod capture;
mod contention;
mod dry_run;
#[path = "../packet_path/fragments.rs"]
mod fragments;
#[path = "../packet_path/icmp.rs"]
mod icmp;
#[path = "../packet_path/ipv6.rs"]
mod ipv6;
#[path = "../packet_path/lifecycle.rs"]
mod lifecycle;
#[path = "../packet_path/lists.rs"]
mod lists;
#[path = "../packet_path/malformed.rs"]
mod malformed;
#[path = "../packet_path/noise.rs"]
mod noise;
mod refusal;
mod replay;
#[path = "../packet_path/tcp.rs"]
mod tcp;
#[path = "../packet_path/timed.rs"]
mod timed;
#[path = "../packet_path/udp.rs"]
mod udp;

use firewall_tests::engine::InKernel;

type Host = firewall_tests::host::Host<InKernel>;

/// Damaged frames that [`noise`] makes.
const NOISE_FRAMES: usize = 30_000;
/// Reasons that they meet at least. `BPF_PROG_TEST_RUN` takes no frame without an Ethernet header.
const NOISE_REASONS: usize = 25;
