//! The BPF file system, in which maps, programs and links are pinned.

use std::{fs, process::Command};

use anyhow::Result;

use super::{announce, require_root};
use crate::process;

/// Where the kernel's documentation and every tool expects it.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// Mounts it unless it is mounted.
pub(super) fn ensure_mounted() -> Result<()> {
    if is_mounted(&fs::read_to_string("/proc/self/mounts")?, MOUNT_POINT) {
        return Ok(());
    }
    let step = "mounting the BPF file system on /sys/fs/bpf";
    require_root(step)?;
    announce(step);
    process::output(Command::new("mount").args(["-t", "bpf", "bpf", MOUNT_POINT]))?;
    Ok(())
}

/// Whether a table in the form of `/proc/self/mounts` has a bpf file system at `point`.
fn is_mounted(mounts: &str, point: &str) -> bool {
    mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == Some(point) && words.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_bpffs_is_found() {
        assert!(is_mounted(
            "sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw,relatime 0 0\n",
            MOUNT_POINT
        ));
    }

    #[test]
    fn another_file_system_there_or_a_bpffs_elsewhere_does_not_count() {
        assert!(!is_mounted("tmpfs /sys/fs/bpf tmpfs rw 0 0\n", MOUNT_POINT));
        assert!(!is_mounted("bpf /mnt bpf rw 0 0\n", MOUNT_POINT));
    }
}
