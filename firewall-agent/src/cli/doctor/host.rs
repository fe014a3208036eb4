//! The kernel and the clock, which can be looked at without an agent.

use std::fs;

use aya::util::KernelVersion;

use super::finding::{Finding, Level};

/// The oldest kernel that the programs are tested on.
const LEAST: KernelVersion = KernelVersion::new(6, 1, 0);

/// The first one with tcx.
const TCX: KernelVersion = KernelVersion::new(6, 6, 0);

const BTF: &str = "/sys/kernel/btf/vmlinux";
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

pub(super) fn findings() -> Vec<Finding> {
    let mut found = Vec::new();
    match KernelVersion::current() {
        Ok(version) => found.push(kernel(version)),
        Err(_) => found.push(Finding::new(
            "kernel",
            Level::Note,
            "the kernel's version cannot be read",
        )),
    }
    found.push(btf(fs::exists(BTF).unwrap_or(false)));
    if let Ok(text) = fs::read_to_string(JIT) {
        found.push(jit(text.trim()));
    }
    if let Ok(mounts) = fs::read_to_string("/proc/self/mounts") {
        found.push(bpffs(&mounts));
    }
    found.push(clock(is_synchronised()));
    found
}

fn kernel(version: KernelVersion) -> Finding {
    if version < LEAST {
        return Finding::new(
            "kernel",
            Level::Problem,
            "older than 6.1: the programs are not loaded",
        )
        .advice("boot kernel 6.1 or later");
    }
    if version < TCX {
        return Finding::new(
            "kernel",
            Level::Note,
            "older than 6.6: outgoing packets are judged by a clsact filter, which others can remove",
        )
        .advice("with kernel 6.6 or later they are judged by tcx");
    }
    Finding::new("kernel", Level::Good, "6.6 or later: XDP and tcx")
}

fn btf(is_there: bool) -> Finding {
    if is_there {
        return Finding::new("kernel", Level::Good, "has BTF");
    }
    Finding::new("kernel", Level::Problem, format!("has no BTF ({BTF} is missing)"))
        .advice("boot a kernel with CONFIG_DEBUG_INFO_BTF=y")
}

fn jit(setting: &str) -> Finding {
    if setting == "0" {
        return Finding::new(
            "kernel",
            Level::Warning,
            "programs are interpreted, which takes many times as long",
        )
        .advice("sysctl -w net.core.bpf_jit_enable=1");
    }
    Finding::new("kernel", Level::Good, "programs are compiled (JIT)")
}

fn bpffs(mounts: &str) -> Finding {
    let is_there = mounts.lines().any(|line| line.split(' ').nth(2) == Some("bpf"));
    if is_there {
        return Finding::new("kernel", Level::Good, "a BPF file system is mounted");
    }
    Finding::new(
        "kernel",
        Level::Warning,
        "no BPF file system is mounted: pins have no place",
    )
    .advice("systemctl start run-firewall_bpf.mount")
}

fn clock(is_synchronised: Option<bool>) -> Finding {
    match is_synchronised {
        Some(true) => Finding::new("clock", Level::Good, "synchronised"),
        Some(false) => Finding::new(
            "clock",
            Level::Note,
            "not synchronised: times in log and history may be wrong (flows, bans and deadlines count by another clock)",
        )
        .advice("run a time client, such as chrony or systemd-timesyncd"),
        None => Finding::new("clock", Level::Note, "the kernel does not say whether it is synchronised"),
    }
}

/// What the kernel's time discipline says (`adjtimex(2)`).
fn is_synchronised() -> Option<bool> {
    // SAFETY: an all-zero timex is valid and asks for nothing to be changed.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is a reference's, and the kernel writes a timex.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(timex.status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_and_missing_features_are_found() {
        for (finding, level) in [
            (kernel(KernelVersion::new(5, 15, 0)), Level::Problem),
            (kernel(KernelVersion::new(6, 1, 0)), Level::Note),
            (kernel(KernelVersion::new(6, 12, 0)), Level::Good),
            (btf(false), Level::Problem),
            (btf(true), Level::Good),
            (jit("0"), Level::Warning),
            (jit("1"), Level::Good),
            (bpffs("proc /proc proc rw 0 0\n"), Level::Warning),
            (bpffs("bpf /sys/fs/bpf bpf rw 0 0\n"), Level::Good),
            (clock(Some(false)), Level::Note),
            (clock(Some(true)), Level::Good),
        ] {
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(level == Level::Good || finding.advice.is_some(), "{finding:?}");
        }
    }
}
