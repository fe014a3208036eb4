//! `cargo xtask build`: the binaries as they are installed, with the eBPF object inside the agent.

#[path = "../../firewall-agent/build/remap.rs"]
mod remap;

use anyhow::{Context, Result};

use crate::{
    process,
    setup::{self, Part},
    workspace,
};

/// Sets up, builds, and says where the results are.
pub(crate) fn run() -> Result<()> {
    setup::ensure(&[Part::Toolchain])?;
    dist()?;
    for binary in ["firewall-agent", "fwctl"] {
        println!("{}", workspace::installed(binary).display());
    }
    let object = workspace::target_dir()
        .join("ebpf-dist")
        .join(setup::toolchain::TARGET)
        .join("release/firewall-ebpf");
    println!("{} (embedded in firewall-agent)", object.display());
    Ok(())
}

/// Builds the agent and fwctl as they are installed.
pub(crate) fn dist() -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--profile", workspace::DIST, "--locked"]);
    cargo.env(
        "CARGO_ENCODED_RUSTFLAGS",
        remap::flags(&workspace::root()).join("\u{1f}"),
    );
    process::run(cargo.args(["--package", "firewall-agent"])).context("the build of what is installed")
}

/// Builds everything that tests run, in the dev profile and in one go. Commands that name single packages would have
/// cargo choose other features for shared dependencies, and compile them once more.
pub(crate) fn for_tests() -> Result<()> {
    process::run(workspace::cargo().args(["build", "--locked", "--all-targets"]))
        .context("the build for tests")
}
