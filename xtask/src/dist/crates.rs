//! The crates that what is installed is made of, from cargo's metadata.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{process, workspace};

/// What is installed: the programs, and the object inside one of them.
const INSTALLED: [&str; 2] = ["firewall-agent", "firewall-ebpf"];

/// The only platform there is.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// A crate of the package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// An SPDX expression.
    pub(super) licence: String,
    /// SHA-256 of what the registry has, in hexadecimal; none of the workspace's own.
    pub(super) checksum: Option<String>,
    /// Where its sources lie on this machine.
    pub(super) sources: PathBuf,
    /// Names and versions of the crates that it uses.
    pub(super) uses: BTreeSet<(String, String)>,
}

impl Crate {
    /// Whether it is one of the workspace.
    pub(super) const fn is_own(&self) -> bool {
        self.checksum.is_none()
    }

    /// Its package URL (<https://github.com/package-url/purl-spec>).
    pub(super) fn url(&self) -> String {
        url(&self.name, &self.version)
    }
}

pub(super) fn url(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{version}")
}

/// Everything that is linked or expanded into what is installed, sorted.
pub(super) fn of_the_package() -> Result<Vec<Crate>> {
    let mut cargo = workspace::cargo();
    cargo.args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        PLATFORM,
    ]);
    let metadata = serde_json::from_str(&process::output(&mut cargo)?).context("reading cargo's metadata")?;
    let lock = std::fs::read_to_string(workspace::root().join("Cargo.lock"))?;
    reachable(&metadata, &checksums(&lock)?)
}

/// By name and version.
type Checksums = BTreeMap<(String, String), String>;

fn checksums(lock: &str) -> Result<Checksums> {
    let lock: toml::Table = lock.parse().context("reading Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let text = |package: &toml::Value, key| Some(package.get(key)?.as_str()?.to_owned());
    let found = packages.into_iter().flatten().filter_map(|package| {
        let key = (text(package, "name")?, text(package, "version")?);
        Some((key, text(package, "checksum")?))
    });
    Ok(found.collect())
}

fn reachable(metadata: &Value, checksums: &Checksums) -> Result<Vec<Crate>> {
    let by_id = |key: &str, list: &'static str| -> BTreeMap<String, Value> {
        let values = metadata.pointer(list).and_then(Value::as_array);
        let named = values.into_iter().flatten();
        named
            .filter_map(|value| Some((value[key].as_str()?.to_owned(), value.clone())))
            .collect()
    };
    let (packages, nodes) = (by_id("id", "/packages"), by_id("id", "/resolve/nodes"));
    let is_installed = |package: &Value| {
        package["name"]
            .as_str()
            .is_some_and(|name| INSTALLED.contains(&name))
    };
    let mut left: Vec<String> = packages
        .iter()
        .filter(|(_, package)| is_installed(package))
        .map(|(id, _)| id.clone())
        .collect();
    let mut seen = BTreeSet::new();
    let mut crates = Vec::new();
    while let Some(id) = left.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let package = packages.get(&id).with_context(|| format!("{id} is in no list"))?;
        let used: Vec<String> = nodes.get(&id).map(uses).unwrap_or_default();
        let name_and_version = |id: &String| packages.get(id).map(name_and_version);
        crates.push(Crate {
            uses: used.iter().filter_map(name_and_version).collect(),
            ..read(package, checksums)
        });
        left.extend(used);
    }
    crates.sort();
    Ok(crates)
}

/// What a crate is built with, but for what only its build or its tests use.
fn uses(node: &Value) -> Vec<String> {
    let is_normal = |used: &&Value| {
        let kinds = used["dep_kinds"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
    };
    let all = node["deps"].as_array().into_iter().flatten();
    all.filter(is_normal)
        .filter_map(|used| used["pkg"].as_str().map(str::to_owned))
        .collect()
}

fn name_and_version(package: &Value) -> (String, String) {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    (text("name"), text("version"))
}

fn read(package: &Value, checksums: &Checksums) -> Crate {
    let (name, version) = name_and_version(package);
    let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
    Crate {
        checksum: checksums.get(&(name.clone(), version.clone())).cloned(),
        name,
        version,
        // An older way to say "or".
        licence: package["license"]
            .as_str()
            .unwrap_or("NOASSERTION")
            .replace('/', " OR "),
        sources: manifest.parent().map(PathBuf::from).unwrap_or_default(),
        uses: BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_only_the_build_or_the_tests_use_is_not_in_the_package() {
        let used = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let package =
            |id: &str| json!({ "id": id, "name": id, "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let packages = ["firewall-agent", "serde", "criterion", "cc", "xtask"].map(package);
        let metadata = json!({
            "packages": packages,
            "resolve": { "nodes": [{
                "id": "firewall-agent",
                "deps": [used("serde", Value::Null), used("criterion", "dev".into()), used("cc", "build".into())],
            }] },
        });
        let lock = "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nchecksum = \"abc\"\n";
        let crates = reachable(&metadata, &checksums(lock).expect("a lock file")).expect("all are listed");
        let names: Vec<_> = crates.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["firewall-agent", "serde"]);
        assert!(crates[0].is_own() && !crates[1].is_own());
        assert_eq!(crates[1].licence, "MIT OR Apache-2.0");
        assert_eq!(crates[0].uses.len(), 1);
    }
}
