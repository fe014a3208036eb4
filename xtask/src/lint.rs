//! `cargo xtask lint`: format, clippy, dependencies, documentation, the README's figures.

use std::{env, process::Command};

use anyhow::{Context, Error, Result};

use crate::{
    bench, process,
    setup::{
        self, Part,
        toolchain::{self, BpfToolchain},
    },
    stages::Stages,
    workspace,
};

/// How long the advisory database may take to be fetched, in seconds.
const ADVISORY_FETCH_SECONDS: &str = "60";

/// Sets up and runs every check.
pub(crate) fn run() -> Result<()> {
    setup::ensure(&[Part::Toolchain, Part::Linters])?;
    let mut stages = Stages::default();
    stages_into(&mut stages);
    stages.finish()
}

/// Runs every check as a stage of its own; needs [`Part::Toolchain`] and [`Part::Linters`].
pub(crate) fn stages_into(stages: &mut Stages) {
    stages.run("format", format);
    stages.run("clippy", clippy);
    stages.run("clippy for BPF", clippy_bpf);
    stages.run("clippy with the eBPF log", clippy_ebpf_log);
    stages.run("documentation", documentation);
    stages.run("figures of the README", bench::check_readme);
    stages.run("dependencies", dependencies);
}

fn format() -> Result<()> {
    process::run(workspace::cargo().args(["fmt", "--all", "--", "--check"]))
        .context("`cargo fmt --all` puts it right")
}

fn clippy() -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["clippy", "--locked", "--all-targets", "--", "--deny", "warnings"]);
    Ok(process::run(&mut cargo)?)
}

/// The development aid that is off in every other stage; this builds the kernel side with it, too.
fn clippy_ebpf_log() -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["clippy", "--locked", "--package", "firewall-agent"]);
    cargo.args(["--features", "ebpf-log", "--", "--deny", "warnings"]);
    Ok(process::run(&mut cargo)?)
}

/// The kernel side is compiled by a compiler of its own, so it takes that compiler's clippy.
fn clippy_bpf() -> Result<()> {
    let mut clippy = bpf_clippy(&BpfToolchain::detect().map_err(Error::msg)?);
    clippy
        .current_dir(workspace::root())
        .args([
            "--locked",
            "--package",
            "firewall-ebpf",
            "--features",
            "bench",
            "--target",
            toolchain::TARGET,
            "--target-dir",
        ])
        .arg(workspace::target_dir().join("ebpf-clippy"))
        .env(
            "CLIPPY_ARGS",
            "--deny__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__",
        )
        .env("RUSTC_BOOTSTRAP", toolchain::BOOTSTRAPPED_CRATES);
    Ok(process::run(&mut clippy)?)
}

/// `cargo clippy` for the compiler of the eBPF object. Debian's compiler has no cargo of its own that need be there,
/// so its clippy is put in the way that `cargo clippy` itself does it.
fn bpf_clippy(toolchain: &BpfToolchain) -> Command {
    let mut cargo = toolchain.cargo();
    match toolchain {
        BpfToolchain::Prebuilt { rustc } => {
            cargo
                .arg("check")
                .env("RUSTC_WORKSPACE_WRAPPER", rustc.with_file_name("clippy-driver"));
        }
        BpfToolchain::NightlyBuildStd => {
            cargo.arg("clippy");
        }
    }
    cargo
}

fn documentation() -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["doc", "--locked", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "--deny warnings");
    Ok(process::run(&mut cargo)?)
}

fn dependencies() -> Result<()> {
    let mut check = workspace::cargo();
    check.args(["deny", "--locked", "check", "bans", "licenses", "sources"]);
    process::run(&mut check)?;
    match fetch_advisories() {
        Ok(()) => {
            let mut check = workspace::cargo();
            check.args(["deny", "--locked", "check", "--disable-fetch", "advisories"]);
            Ok(process::run(&mut check)?)
        }
        Err(reason) => {
            println!("advisories not checked: the database cannot be had from here ({reason})");
            Ok(())
        }
    }
}

/// Brings the advisory database up to date; the error is the one line that says why not.
fn fetch_advisories() -> Result<(), String> {
    let mut fetch = Command::new("timeout");
    fetch
        .arg(ADVISORY_FETCH_SECONDS)
        .arg(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["deny", "fetch", "db"])
        .current_dir(workspace::root());
    process::output(&mut fetch).map(drop).map_err(|error| {
        let text = error.to_string();
        let reason = text
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no reason given");
        reason.trim().to_owned()
    })
}
