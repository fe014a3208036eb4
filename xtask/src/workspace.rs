//! Where things are: the workspace's root, its target directory, and the cargo that runs this program.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map(Path::to_owned).unwrap_or(manifest)
}

/// The directory for everything that is made rather than written.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The profile of what is installed.
pub(crate) const DIST: &str = "dist";

/// A program as it is installed.
pub(crate) fn installed(program: &str) -> PathBuf {
    target_dir().join(DIST).join(program)
}

/// The cargo that runs this program, started in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // `cargo run` sets these for this program; a nested cargo would pass them on to build scripts as changed.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}
