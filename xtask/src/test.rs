//! `cargo xtask test`: everything there is to check, in the order in which a mistake is cheapest to find.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    build, dist, lab, lint, process,
    setup::{self, Part},
    stages::Stages,
    vm, workspace,
};

/// The member that holds the suites which need the kernel and root.
const KERNEL_TESTS: &str = "firewall-tests";
/// The suite whose tests wait most of the time: for agents to start, for windows and bans to end. Each has network, mounts
/// and pins of its own.
const WAITING_SUITE: &str = "operator";

/// Sets up, then runs every stage. What does not build ends the run; any other failure lets the rest go on, so that
/// one run shows all there is to mend.
pub(crate) fn run() -> Result<()> {
    let mut stages = Stages::default();
    let everything = [
        Part::Toolchain,
        Part::Linters,
        Part::Dist,
        Part::TestTools,
        Part::Lab,
        Part::Vm,
    ];
    if !stages.run("set-up", || setup::ensure(&everything)) || !stages.run("build", build_all) {
        return stages.finish();
    }
    lint::stages_into(&mut stages);
    let suites = suites()?;
    stages.run("unit and property tests", || unit(&suites));
    stages.run("micro benches, once each", benches);
    stages.run("package, made twice", dist::twice);
    for suite in &suites.kernel {
        stages.run(&format!("kernel suite {suite}"), || kernel_suite(suite));
    }
    stages.run("6.1 kernel", vm::suite);
    stages.run("lab", || lab::demonstrate(false));
    stages.finish()
}

fn build_all() -> Result<()> {
    build::for_tests()?;
    build::dist()
}

/// The tests that need no root: those inside the crates, those of the crates' public interfaces, and the
/// documentation's examples.
fn unit(suites: &Suites) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--locked", "--lib", "--bins"]);
    for suite in &suites.without_kernel {
        cargo.args(["--test", suite]);
    }
    process::run(&mut cargo)?;
    Ok(process::run(
        workspace::cargo().args(["test", "--locked", "--doc"]),
    )?)
}

/// Whether the micro benches run at all; what they measure here says nothing.
fn benches() -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--locked", "--package", KERNEL_TESTS, "--bench", "*"]);
    Ok(process::run(&mut cargo)?)
}

/// One suite at a time, and one test at a time within it: they share the kernel and two cores. Tests of
/// [`WAITING_SUITE`] run in pairs.
fn kernel_suite(suite: &str) -> Result<()> {
    let mut cargo = workspace::cargo();
    let threads = if suite == WAITING_SUITE { "2" } else { "1" };
    cargo.args([
        "test",
        "--locked",
        "--test",
        suite,
        "--",
        "--test-threads",
        threads,
    ]);
    Ok(process::run(&mut cargo)?)
}

/// The names of the integration tests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Suites {
    /// Those of [`KERNEL_TESTS`].
    kernel: Vec<String>,
    /// Those of all other members.
    without_kernel: Vec<String>,
}

/// Asks cargo which there are, so that a new one cannot be forgotten here.
fn suites() -> Result<Suites> {
    let mut cargo = workspace::cargo();
    cargo.args(["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let metadata = process::output(&mut cargo)?;
    Ok(sort_suites(
        &serde_json::from_str(&metadata).context("reading cargo's metadata")?,
    ))
}

fn sort_suites(metadata: &Value) -> Suites {
    let mut suites = Suites::default();
    for package in list(&metadata["packages"]) {
        let kind = if package["name"] == KERNEL_TESTS {
            &mut suites.kernel
        } else {
            &mut suites.without_kernel
        };
        let targets = list(&package["targets"])
            .iter()
            .filter(|target| list(&target["kind"]).contains(&"test".into()));
        kind.extend(targets.filter_map(|target| target["name"].as_str().map(str::to_owned)));
    }
    suites
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn test_targets_are_sorted_by_what_they_need() {
        let metadata = json!({ "packages": [
            { "name": "firewall-tests", "targets": [
                { "name": "firewall_tests", "kind": ["lib"] },
                { "name": "matchers", "kind": ["test"] },
                { "name": "netns", "kind": ["test"] },
            ] },
            { "name": "firewall-agent", "targets": [{ "name": "diagnostics", "kind": ["test"] }] },
        ] });
        let suites = sort_suites(&metadata);
        assert_eq!(suites.kernel, ["matchers", "netns"]);
        assert_eq!(suites.without_kernel, ["diagnostics"]);
    }

    #[test]
    fn no_packages_are_no_suites() {
        assert_eq!(sort_suites(&json!({})), Suites::default());
    }
}
