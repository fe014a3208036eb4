//! HAProxy: ends the customers' TLS, encrypts anew to the web server, and exports its figures.

use anyhow::Result;

use super::{text, write};
use crate::lab::{
    daemon,
    network::{LB, WEB},
    state::State,
    tls::Authority,
};

const CONFIGURATION: &str = include_str!("../files/haproxy.cfg");
/// The name that customers know the shop by.
pub(crate) const SHOP: &str = "shop.example.com";

/// Starts it.
pub(crate) fn start(state: &mut State, authority: &Authority) -> Result<()> {
    let folder = state.folder(LB.name)?;
    authority.issue(LB, SHOP)?.bundle(&folder.join("lb.pem"))?;
    let configuration = folder.join("haproxy.cfg");
    let values = [
        ("folder", text(&folder)),
        ("ca", text(&authority.certificate())),
        ("web4", WEB.v4.to_string()),
        ("web6", WEB.v6.to_string()),
    ];
    write(
        &configuration,
        CONFIGURATION,
        &values.each_ref().map(|(name, value)| (*name, value.as_str())),
    )?;
    let mut command = LB.namespace().command("haproxy");
    command.args(["-db", "-f"]).arg(&configuration);
    daemon::start(state, "lb/haproxy", &folder, &mut command)
}

/// Waits until it takes connections.
pub(crate) fn wait() -> Result<()> {
    daemon::wait_for_port("HAProxy", LB.namespace(), "127.0.0.1:443")
}
