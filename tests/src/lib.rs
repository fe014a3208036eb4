//! What the suites share: packets, a host that judges them in memory or in the kernel ([`host`], [`engine`]), and for
//! the suites that need the kernel the programs loaded once ([`mod@bench`]), network namespaces, a BPF file system of one's
//! own, probes.
//!
//! What needs the kernel needs root, and cleans up after itself.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test that cannot go on panics; that is what it is for"
)]

pub mod bench;
mod bpf;
pub mod bpffs;
pub mod engine;
pub mod frames;
pub mod host;
pub mod interpreter;
pub mod json_schema;
pub mod map_contents;
pub mod mounts;
pub mod netns;
pub mod paths;
pub mod pcap;
pub mod random;
pub mod rule_sets;
pub mod stress;
pub mod tiny;
pub mod verifier;
pub mod wait;
pub mod worker;
