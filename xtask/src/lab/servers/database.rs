//! MariaDB with TLS, on a data directory of its own.

use std::process::Command;

use anyhow::{Context, Result};

use super::{text, write};
use crate::{
    lab::{daemon, network::DB, state::State, tls::Authority},
    process,
};

const SHOP: &str = include_str!("../files/shop.sql");

/// Starts it with the shop's table, in which one product is named `token`.
pub(crate) fn start(state: &mut State, authority: &Authority, token: &str) -> Result<()> {
    let folder = state.folder(DB.name)?;
    let identity = authority.issue(DB, "db.internal")?;
    let data = folder.join("data");
    let mut install = Command::new("mariadb-install-db");
    install.args([
        "--no-defaults",
        "--user=root",
        "--skip-test-db",
        "--auth-root-authentication-method=normal",
        // Also where this machine's own name has no address.
        "--force",
    ]);
    install.arg(format!("--datadir={}", text(&data)));
    process::output(&mut install).context("making the database's directory")?;

    let shop = folder.join("shop.sql");
    write(&shop, SHOP, &[("token", token)])?;
    let mut command = DB.namespace().command("mariadbd");
    command.args([
        "--no-defaults",
        "--user=root",
        "--bind-address=*",
        "--port=3306",
        "--skip-log-bin",
    ]);
    command.args([
        "--skip-name-resolve",
        "--require-secure-transport=ON",
        "--innodb-buffer-pool-size=16M",
    ]);
    for (option, path) in [
        ("datadir", &data),
        ("socket", &folder.join("mariadb.sock")),
        ("pid-file", &folder.join("mariadb.pid")),
        ("init-file", &shop),
        ("ssl-ca", &authority.certificate()),
        ("ssl-cert", &identity.certificate),
        ("ssl-key", &identity.key),
    ] {
        command.arg(format!("--{option}={}", text(path)));
    }
    daemon::start(state, "db/mariadbd", &folder, &mut command)
}

/// Waits until it takes connections.
pub(crate) fn wait() -> Result<()> {
    daemon::wait_for_port("MariaDB", DB.namespace(), "127.0.0.1:3306")
}
