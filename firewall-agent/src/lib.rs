//! The host firewall's user space: policy language, compiler, agent and the operator's commands.

pub mod cli;
pub mod compile;
pub mod control;
pub mod daemon;
pub mod dataplane;
pub mod diagnostic;
pub mod engine;
pub mod policy;
pub mod prefix_set;
pub mod settings;
pub mod state;
pub mod telemetry;

/// The eBPF object, compiled from `firewall-ebpf` by this crate's build script.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/firewall-ebpf"));
