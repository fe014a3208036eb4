//! Compiler flags by which nothing that is built says where it was built. Shared with `cargo xtask build` by path.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Names the workspace `firewall-agent` and every crate from a registry by its name and version, whatever directories
/// they are in.
pub(crate) fn flags(workspace: &Path) -> Vec<String> {
    let registries = cargo_home()
        .and_then(|home| fs::read_dir(home.join("registry/src")).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|registry| remap(&registry.path(), "crates"));
    let mut flags: Vec<String> = registries.collect();
    // rustc takes the order in which registries are listed for a difference.
    flags.sort();
    flags.push(remap(workspace, "firewall-agent"));
    flags
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

fn cargo_home() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}
