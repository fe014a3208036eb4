//! `cargo xtask bench`: what the firewall costs, beside what a user would pick instead.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Error, Result};
use clap::Args;

use crate::{
    process,
    setup::{
        self, Part,
        toolchain::{self, BpfToolchain},
    },
    workspace,
};

/// The arguments of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Fewer rounds and sizes, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only these rows of the table.
    #[arg(long, value_name = "ROW,…", value_delimiter = ',')]
    only: Vec<u8>,
    /// Also write the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Sets up, builds in release mode, and measures.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(&[Part::Toolchain, Part::Bench])?;
    let object = object()?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "firewall-agent"]);
    cargo.args([
        "--package",
        "firewall-tests",
        "--bin",
        "measure",
        "--bin",
        "fwctl",
    ]);
    process::run(cargo.args(["--bin", "firewall-agent"])).context("the release build")?;
    let binaries = workspace::target_dir().join("release");
    let mut measure = Command::new(binaries.join("measure"));
    measure.arg(object).arg("--binaries").arg(&binaries);
    if arguments.quick {
        measure.arg("--quick");
    }
    if !arguments.only.is_empty() {
        let rows: Vec<_> = arguments.only.iter().map(u8::to_string).collect();
        measure.arg("--only").arg(rows.join(","));
    }
    if let Some(path) = &arguments.json {
        measure.arg("--json").arg(path);
    }
    Ok(process::run(&mut measure)?)
}

/// Builds the programs that the benchmarks alone want.
fn object() -> Result<PathBuf> {
    let target = workspace::target_dir().join("ebpf");
    let mut cargo = BpfToolchain::detect().map_err(Error::msg)?.cargo();
    cargo
        .current_dir(workspace::root())
        .args(["build", "--release", "--locked", "--package", "firewall-ebpf"])
        .args(["--features", "bench", "--bin", "firewall-bench"])
        .args(["--target", toolchain::TARGET, "--target-dir"])
        .arg(&target)
        .env("RUSTC_BOOTSTRAP", toolchain::BOOTSTRAPPED_CRATES)
        .env("CARGO_ENCODED_RUSTFLAGS", toolchain::RUSTFLAGS.join("\u{1f}"));
    process::run(&mut cargo).context("the bench object")?;
    Ok(target.join(toolchain::TARGET).join("release/firewall-bench"))
}
