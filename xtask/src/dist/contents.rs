//! What is in the package, and where it lies on a host.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

use super::{crates::Crate, deb, licences, manual, sbom, tree::Tree, tree::read};
use crate::{process, workspace};

const DOCUMENTS: &str = "/usr/share/doc/firewall-agent";

/// Where a shell looks for the completions of `fwctl`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "/usr/share/bash-completion/completions/fwctl"),
    ("zsh", "/usr/share/zsh/vendor-completions/_fwctl"),
    ("fish", "/usr/share/fish/vendor_completions.d/fwctl.fish"),
];

/// Files beside the unit, and where they go.
const SYSTEM: [(&str, &str); 4] = [
    (
        "firewall-agent.service",
        "/lib/systemd/system/firewall-agent.service",
    ),
    (
        "run-firewall_bpf.mount",
        "/lib/systemd/system/run-firewall_bpf.mount",
    ),
    (
        "firewall-agent.sysusers",
        "/usr/lib/sysusers.d/firewall-agent.conf",
    ),
    (
        "firewall-agent.tmpfiles",
        "/usr/lib/tmpfiles.d/firewall-agent.conf",
    ),
];

/// Puts everything in its place.
pub(super) fn put(tree: &mut Tree, crates: &[Crate], epoch: u64) -> Result<()> {
    let root = workspace::root();
    tree.program(
        "/usr/sbin/firewall-agent",
        read(&workspace::installed("firewall-agent"))?,
    )?;
    tree.program("/usr/bin/fwctl", read(&workspace::installed("fwctl"))?)?;
    for (name, path) in SYSTEM {
        tree.copy(&root.join("firewall-agent/systemd").join(name), path)?;
    }
    tree.copy(
        &root.join("firewall-agent/package/agent.toml"),
        "/etc/firewall-agent/agent.toml",
    )?;
    for (shell, path) in COMPLETIONS {
        let script = process::output(fwctl().args(["completions", shell]))?;
        tree.file(path, script)?;
    }
    manual_pages(tree, &root, epoch)?;
    documents(tree, &root, crates, epoch)
}

fn fwctl() -> Command {
    Command::new(workspace::installed("fwctl"))
}

/// Those of the commands come from `fwctl` itself, those of the files from their documents.
fn manual_pages(tree: &mut Tree, root: &Path, epoch: u64) -> Result<()> {
    let made = tree.root().with_file_name("man");
    fs::create_dir_all(&made)?;
    process::output(fwctl().arg("man").arg(&made))?;
    for entry in fs::read_dir(&made)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.context("a page has a name")?;
        let section = name.rsplit_once('.').context("a page has a section")?.1;
        tree.packed(&format!("/usr/share/man/man{section}/{name}"), read(&path)?)?;
    }
    fs::remove_dir_all(&made)?;
    let text = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"));
    for (name, page) in [
        (
            "firewall-policy.5",
            manual::policy(&text("rules/README.md")?, epoch),
        ),
        (
            "firewall-agent.toml.5",
            manual::settings(&text("firewall-agent/examples/agent.toml")?, epoch),
        ),
    ] {
        tree.packed(&format!("/usr/share/man/man5/{name}"), page)?;
    }
    Ok(())
}

fn documents(tree: &mut Tree, root: &Path, crates: &[Crate], epoch: u64) -> Result<()> {
    for name in ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"] {
        tree.packed(&format!("{DOCUMENTS}/{name}"), read(&root.join(name))?)?;
    }
    tree.packed(&format!("{DOCUMENTS}/changelog"), deb::changelog(epoch)?)?;
    tree.file(
        &format!("{DOCUMENTS}/copyright"),
        licences::copyright(root, crates)?,
    )?;
    tree.packed(
        &format!("{DOCUMENTS}/third-party-licences.txt"),
        licences::third_party(crates)?,
    )?;
    tree.packed(&format!("{DOCUMENTS}/sbom.cdx.json"), sbom::text(crates, epoch)?)?;
    tree.copy(
        &root.join("firewall-agent/examples/agent.toml"),
        &format!("{DOCUMENTS}/examples/agent.toml"),
    )?;
    for entry in fs::read_dir(root.join("rules"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.context("a policy has a name")?.to_owned();
        tree.copy(&path, &format!("{DOCUMENTS}/examples/rules/{name}"))?;
    }
    Ok(())
}
