//! Tools that come from the crate registry.

use std::process::Command;

use anyhow::{Result, bail};

use super::announce;
use crate::{process, workspace};

/// The linker that turns LLVM bitcode into a BPF object; this version is the one that the object is tested with.
const BPF_LINKER: &str = "0.13.0";
/// The checker of dependencies.
const CARGO_DENY: &str = "0.20.2";
/// Debian's LLVM of the version that both the eBPF compiler and `bpf-linker` use.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// Whether a `bpf-linker` can be run, of whatever version: a developer's own choice is respected.
pub(super) fn has_bpf_linker() -> bool {
    process::succeeds(Command::new("bpf-linker").arg("--version"))
}

/// Builds `bpf-linker` against Debian's LLVM if there is none.
pub(super) fn ensure_bpf_linker() -> Result<()> {
    if has_bpf_linker() {
        return Ok(());
    }
    announce(&format!(
        "building bpf-linker {BPF_LINKER} from the crate registry (about a minute)"
    ));
    let mut install = cargo_install("bpf-linker", BPF_LINKER);
    install
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("LLVM_PREFIX", LLVM_PREFIX)
        .env("LLVM_SYS_221_PREFIX", LLVM_PREFIX);
    process::output(&mut install)?;
    expect_on_path(has_bpf_linker(), "bpf-linker")
}

/// Builds `cargo-deny` if there is none.
pub(super) fn ensure_cargo_deny() -> Result<()> {
    if has_cargo_deny() {
        return Ok(());
    }
    announce(&format!(
        "building cargo-deny {CARGO_DENY} from the crate registry (about four minutes)"
    ));
    process::output(&mut cargo_install("cargo-deny", CARGO_DENY))?;
    expect_on_path(has_cargo_deny(), "cargo-deny")
}

fn has_cargo_deny() -> bool {
    process::succeeds(Command::new("cargo-deny").arg("--version"))
}

fn cargo_install(name: &str, version: &str) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["install", "--locked", name, "--version", version]);
    cargo
}

fn expect_on_path(runs: bool, name: &str) -> Result<()> {
    if runs {
        return Ok(());
    }
    bail!("{name} is built but cannot be run: is cargo's bin directory (usually ~/.cargo/bin) on PATH?")
}
