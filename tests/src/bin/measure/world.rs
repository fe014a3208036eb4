//! What the process runs in.

use std::fs;

use anyhow::{Context, Result};
use firewall_tests::mounts;
use nix::{
    mount::{MsFlags, mount},
    sys::utsname::uname,
};

use crate::results::Machine;

/// Gives the process mounts of its own, with empty BPF file systems, and has temporary files made there.
pub(crate) fn enter() -> Result<()> {
    mounts::enter();
    mount(
        Some("bpf"),
        "/sys/fs/bpf",
        Some("bpf"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("a BPF file system")?;
    tempfile::env::override_temp_dir(std::path::Path::new(mounts::STATE))
        .ok()
        .context("temporary files were made before")?;
    Ok(())
}

/// What it runs on.
pub(crate) fn machine() -> Machine {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Machine {
        kernel: uname().map_or(String::new(), |name| {
            name.release().to_string_lossy().into_owned()
        }),
        processor: model(&processors).unwrap_or_default().to_owned(),
        processors: processors
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count(),
    }
}

/// The model's name, by `/proc/cpuinfo`.
fn model(processors: &str) -> Option<&str> {
    let line = processors.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_read() {
        assert_eq!(
            model("processor\t: 0\nmodel name\t: A Processor\n"),
            Some("A Processor")
        );
        assert_eq!(model("processor\t: 0\n"), None);
    }
}
