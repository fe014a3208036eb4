//! `cargo xtask dist`: the Debian package, and a list of what is in it (`CycloneDX`).
//!
//! The same commit gives the same bytes: every file has the time of the commit, entries are sorted, and no path of this
//! machine is in the programs (`build::dist`). What writes the archive is dpkg's own tool.

mod contents;
mod crates;
mod deb;
mod licences;
mod manual;
mod sbom;
mod tree;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    build, process,
    setup::{self, Part},
    workspace,
};

/// What archives, and everything else that wants to be the same each time, takes for the time.
/// <https://reproducible-builds.org/specs/source-date-epoch/>
const EPOCH: &str = "SOURCE_DATE_EPOCH";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Package the programs that are built already.
    #[arg(long, conflicts_with = "check")]
    built: bool,
    /// Build once more, from the last commit in another directory, and compare.
    #[arg(long)]
    check: bool,
}

/// Builds and packages, and says where the results are.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.built {
        setup::ensure(&[Part::Toolchain, Part::Dist])?;
        build::dist()?;
    }
    let package = package(&directory())?;
    println!("{}", package.display());
    println!("{}", sbom_of(&package).display());
    if arguments.check {
        check(&package)?;
        println!("the same bytes from another directory");
    }
    Ok(())
}

/// Packages what is built already, twice in different places, and compares. A stage of `cargo xtask test`.
pub(crate) fn twice() -> Result<()> {
    let first = package(&directory())?;
    let second = package(&directory().join("again"))?;
    same(&first, &second)?;
    println!("{}", first.display());
    Ok(())
}

fn directory() -> PathBuf {
    workspace::target_dir().join("package")
}

/// Packages the programs that are built; what was in `directory` from an earlier run is gone.
fn package(directory: &Path) -> Result<PathBuf> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("emptying {}", directory.display()))?;
    }
    let epoch = epoch()?;
    let crates = crates::of_the_package()?;
    let mut tree = tree::Tree::new(&directory.join("root"))?;
    contents::put(&mut tree, &crates, epoch)?;
    let package = deb::write(&tree, directory, epoch)?;
    fs::write(sbom_of(&package), sbom::text(&crates, epoch)?)?;
    Ok(package)
}

fn sbom_of(package: &Path) -> PathBuf {
    package.with_extension("cdx.json")
}

/// Seconds since 1970 of the last commit, unless the environment says otherwise.
fn epoch() -> Result<u64> {
    if let Ok(text) = env::var(EPOCH) {
        return text.parse().with_context(|| format!("{EPOCH}={text}"));
    }
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"])
        .current_dir(workspace::root());
    let text = process::output(&mut git).with_context(|| format!("without git, say {EPOCH}"))?;
    text.trim().parse().context("the time of the last commit")
}

/// Builds the last commit in a directory of its own, with a target directory of its own, and compares.
fn check(package: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["status", "--porcelain"]).current_dir(workspace::root());
    let changed = process::output(&mut git)?;
    if !changed.is_empty() {
        bail!("there are changes that are not committed; what is built anew is the last commit:\n{changed}");
    }
    let elsewhere = workspace::target_dir().join("package-check/elsewhere");
    if elsewhere.exists() {
        fs::remove_dir_all(&elsewhere)?;
    }
    fs::create_dir_all(&elsewhere)?;
    let mut copy = Command::new("sh");
    copy.args(["-c", "git archive HEAD | tar -x -C \"$1\"", "sh"])
        .arg(&elsewhere)
        .current_dir(workspace::root());
    process::run(&mut copy)?;
    let mut again = workspace::cargo();
    again
        .args(["xtask", "dist"])
        .current_dir(&elsewhere)
        .env("CARGO_TARGET_DIR", elsewhere.join("built"))
        .env(EPOCH, epoch()?.to_string());
    process::run(&mut again)?;
    let name = package.file_name().context("a package has a name")?;
    same(package, &elsewhere.join("built/package").join(name))
}

fn same(one: &Path, other: &Path) -> Result<()> {
    if fs::read(one)? == fs::read(other)? {
        return Ok(());
    }
    bail!(
        "{} and {} differ; `diffoscope` says in what",
        one.display(),
        other.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_packages_are_told_apart() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (one, other) = (here.join("Cargo.toml"), here.join("src/main.rs"));
        same(&one, &one).expect("one file is the same as itself");
        same(&one, &other).expect_err("two are not");
    }
}
