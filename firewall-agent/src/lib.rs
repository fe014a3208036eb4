//! The host firewall's user space: policy language, compiler, agent and the operator's commands.

pub mod calendar;
pub mod cli;
pub mod compile;
pub mod control;
pub mod daemon;
pub mod dataplane;
pub mod diagnostic;
pub mod engine;
pub mod failpoint;
pub mod import;
pub mod learn;
pub mod pcapng;
pub mod policy;
pub mod prefix_set;
pub mod replay;
pub mod settings;
pub mod state;
pub mod telemetry;
pub mod trial;

/// The eBPF object, compiled from `firewall-ebpf` by this crate's build script.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/firewall-ebpf"));

#[cfg(test)]
mod tests {
    use super::OBJECT;

    fn has(name: &[u8]) -> bool {
        OBJECT.windows(name.len()).any(|bytes| bytes == name)
    }

    #[test]
    fn the_object_has_its_types_and_lines_and_no_debug_information() {
        for section in [&b"\0.BTF\0"[..], b"\0.BTF.ext\0", b"\0license\0"] {
            assert!(has(section), "{}", section.escape_ascii());
        }
        assert!(!has(b".debug_info"), "it would lie in the agent's memory");
    }
}
