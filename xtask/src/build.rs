//! `cargo xtask build`: the release binaries, with the eBPF object inside the agent.

use anyhow::{Context, Result};

use crate::{
    process,
    setup::{self, Part},
    workspace,
};

/// Sets up, builds, and says where the results are.
pub(crate) fn run() -> Result<()> {
    setup::ensure(&[Part::Toolchain])?;
    release()?;
    let target = workspace::target_dir();
    for binary in ["firewall-agent", "fwctl"] {
        println!("{}", target.join("release").join(binary).display());
    }
    let object = target
        .join("ebpf")
        .join(setup::toolchain::TARGET)
        .join("release/firewall-ebpf");
    println!("{} (embedded in firewall-agent)", object.display());
    Ok(())
}

/// Builds the agent and fwctl in release mode.
pub(crate) fn release() -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "firewall-agent"]);
    process::run(&mut cargo).context("the release build")
}

/// Builds everything that tests run, in the dev profile and in one go. Commands that name single packages would have
/// cargo choose other features for shared dependencies, and compile them once more.
pub(crate) fn for_tests() -> Result<()> {
    process::run(workspace::cargo().args(["build", "--locked", "--all-targets"]))
        .context("the build for tests")
}
