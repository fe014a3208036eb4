//! `cargo xtask session`: the documentation's session, played and written down anew.

use anyhow::Result;

use crate::{
    process,
    setup::{self, Part},
    workspace,
};

/// Plays it as the operator suite does, and keeps what was printed.
pub(crate) fn run() -> Result<()> {
    setup::ensure(&[Part::Toolchain])?;
    let mut cargo = workspace::cargo();
    cargo.args([
        "test",
        "--locked",
        "--package",
        "firewall-tests",
        "--test",
        "operator",
    ]);
    cargo.args(["--", "a_session_is_as_the_documentation_shows_it"]);
    process::run(cargo.env("FIREWALL_SESSION_RECORD", "1"))?;
    Ok(())
}
