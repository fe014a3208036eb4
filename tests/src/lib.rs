//! What the suites share: packets, a host without a kernel ([`host`]), and for the suites that need the kernel network
//! namespaces, a BPF file system of one's own, probes.
//!
//! What needs the kernel needs root, and cleans up after itself.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test that cannot go on panics; that is what it is for"
)]

pub mod bpffs;
pub mod frames;
pub mod host;
pub mod netns;
pub mod random;
pub mod wait;
