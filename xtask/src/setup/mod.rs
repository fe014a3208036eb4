//! `cargo xtask setup`: everything that building, testing and the lab need and that this machine lacks.
//!
//! Whether something is there is told by a look at files, never by asking a package manager, so that set-up with
//! nothing to do costs a few milliseconds. What is missing is announced in one line each before it is installed.

mod apt;
mod bpffs;
mod cargo_tools;
pub(crate) mod kernel;
#[path = "../../../firewall-agent/build/toolchain.rs"]
pub(crate) mod toolchain;

use std::collections::BTreeSet;

use anyhow::{Context, Error, Result};
use nix::unistd::Uid;

use self::{apt::Package, toolchain::BpfToolchain};

/// What a subcommand may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// A C compiler for build scripts, a compiler for BPF, and `bpf-linker`.
    Toolchain,
    /// `cargo-deny`, and clippy for the eBPF compiler.
    Linters,
    /// What a package is dated by.
    Dist,
    /// The BPF file system and the programs that the kernel and namespace suites call.
    TestTools,
    /// The servers and clients of the lab.
    Lab,
    /// What the benchmarks measure the firewall beside.
    Bench,
    /// qemu, what its initramfs is made of, and the 6.1 kernel.
    Vm,
}

impl Part {
    const ALL: [Self; 7] = [
        Self::Toolchain,
        Self::Linters,
        Self::Dist,
        Self::TestTools,
        Self::Lab,
        Self::Bench,
        Self::Vm,
    ];
}

/// `cargo xtask setup`: all parts.
pub(crate) fn run() -> Result<()> {
    ensure(&Part::ALL)?;
    println!("set-up is complete: eBPF compiler {}", detect()?.describe());
    Ok(())
}

/// Installs whatever is missing of the parts named; idempotent.
pub(crate) fn ensure(parts: &[Part]) -> Result<()> {
    let parts: BTreeSet<Part> = parts.iter().copied().collect();
    let missing = missing_packages(&parts);
    if !missing.is_empty() {
        apt::install(&missing)?;
    }
    if parts.contains(&Part::Toolchain) {
        cargo_tools::ensure_bpf_linker().context("setting up bpf-linker")?;
        detect()?;
    }
    if parts.contains(&Part::Linters) {
        cargo_tools::ensure_cargo_deny().context("setting up cargo-deny")?;
    }
    if parts.contains(&Part::TestTools) || parts.contains(&Part::Lab) {
        bpffs::ensure_mounted().context("setting up the BPF file system")?;
    }
    if parts.contains(&Part::Vm) {
        kernel::ensure().context("setting up the 6.1 kernel")?;
    }
    Ok(())
}

/// Announces one step of set-up.
fn announce(step: &str) {
    println!("setup: {step}");
}

/// An error that says what root would have done, where this program is not root.
fn require_root(step: &str) -> Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    Err(Error::msg(format!(
        "{step}: this needs root; run it as root once (`sudo -E cargo xtask setup`)"
    )))
}

fn detect() -> Result<BpfToolchain> {
    BpfToolchain::detect().map_err(Error::msg)
}

/// The packages to install for these parts. The eBPF compiler comes from Debian unless another is there.
fn missing_packages(parts: &BTreeSet<Part>) -> Vec<&'static Package> {
    let mut wanted: Vec<&Package> = Vec::new();
    for part in parts {
        match part {
            Part::Toolchain => {
                wanted.extend(apt::COMPILER);
                if BpfToolchain::detect().is_err() {
                    wanted.extend(apt::BPF_COMPILER);
                }
                if !cargo_tools::has_bpf_linker() {
                    wanted.extend(apt::BPF_LINKER);
                }
            }
            Part::Linters => {
                if BpfToolchain::detect().is_ok_and(|found| matches!(found, BpfToolchain::NightlyBuildStd)) {
                    continue;
                }
                wanted.extend(apt::BPF_CLIPPY);
            }
            Part::Dist => wanted.extend(apt::DIST),
            Part::TestTools => wanted.extend(apt::TEST_TOOLS),
            Part::Lab => wanted.extend(apt::LAB),
            Part::Bench => wanted.extend(apt::BENCH),
            Part::Vm => wanted.extend(apt::VM),
        }
    }
    wanted.retain(|package| !package.is_installed());
    wanted.sort_by_key(|package| package.name);
    wanted.dedup_by_key(|package| package.name);
    wanted
}
