//! `cargo xtask bench`: what the firewall costs, beside what a user would pick instead.

mod plot;
mod readme;
#[path = "../../tests/src/bin/measure/results.rs"]
#[expect(dead_code, reason = "what measures uses all of it")]
mod results;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Error, Result, ensure};
use clap::Args;

use crate::{
    build, process,
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
    /// Keep the figures: in xtask/figures, and in the README.
    #[arg(long, conflicts_with_all = ["quick", "only", "json"])]
    record: bool,
    /// Measure nothing; make drawings and the README's table anew from the figures that were kept.
    #[arg(long, conflicts_with_all = ["quick", "only", "json", "record"])]
    readme: bool,
    /// Also write the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Sets up, builds in release mode, and measures.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.readme {
        return write_readme();
    }
    setup::ensure(&[Part::Toolchain, Part::Bench])?;
    let object = object()?;
    build::dist()?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "firewall-tests"]);
    process::run(cargo.args(["--bin", "measure"])).context("the release build")?;
    let target = workspace::target_dir();
    let mut measure = Command::new(target.join("release/measure"));
    measure
        .arg(object)
        .arg("--binaries")
        .arg(target.join(workspace::DIST));
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
    if arguments.record {
        fs::create_dir_all(figures())?;
        measure.arg("--json").arg(kept());
    }
    process::run(&mut measure)?;
    if arguments.record { write_readme() } else { Ok(()) }
}

fn figures() -> PathBuf {
    workspace::root().join("xtask/figures")
}

/// The figures that the README shows.
fn kept() -> PathBuf {
    figures().join("results.json")
}

/// Every file that is made from the figures that were kept, as it is to be.
fn made_from(kept: &Path) -> Result<Vec<(PathBuf, String)>> {
    let text = fs::read_to_string(kept).with_context(|| format!("cannot read {}", kept.display()))?;
    let results = serde_json::from_str(&text).context("the figures that were kept")?;
    let drawings = plot::all(&results);
    let names: Vec<_> = drawings.iter().map(|(name, _)| *name).collect();
    let readme = workspace::root().join("README.md");
    let text = readme::updated(&fs::read_to_string(&readme)?, &results, &names)?;
    let drawings = drawings
        .into_iter()
        .map(|(name, text)| (figures().join(format!("{name}.svg")), text));
    Ok(drawings.chain([(readme, text)]).collect())
}

fn write_readme() -> Result<()> {
    for (path, text) in made_from(&kept())? {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Whether the README and the drawings say what the figures say that were kept.
pub(crate) fn check_readme() -> Result<()> {
    if !kept().exists() {
        println!("no figures were kept yet");
        return Ok(());
    }
    for (path, text) in made_from(&kept())? {
        let is = fs::read_to_string(&path).unwrap_or_default();
        ensure!(
            is == text,
            "{} is not made from the figures that were kept: `cargo xtask bench --readme`",
            path.display()
        );
    }
    Ok(())
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
