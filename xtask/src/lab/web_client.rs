//! A customer's browser, as far as the lab needs one: curl, trusting the lab's authority.

use std::{net::IpAddr, path::Path};

use anyhow::{Context, Result};

use super::{network::Host, servers::load_balancer::SHOP};
use crate::process;

/// Who asks, and whom they trust.
pub(crate) struct Client<'a> {
    /// The host that asks.
    pub(crate) from: Host,
    /// The certificate authority that it trusts.
    pub(crate) authority: &'a Path,
}

/// An answer.
pub(crate) struct Page {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What was sent with it.
    pub(crate) body: String,
}

impl Client<'_> {
    /// Asks the shop at this address for a page, without following a redirect.
    pub(crate) fn get(&self, scheme: &str, address: IpAddr, path: &str) -> Result<Page> {
        let port = if scheme == "https" { 443 } else { 80 };
        let mut curl = self.from.namespace().command("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--write-out",
            "\n%{http_code}",
        ]);
        curl.arg("--cacert").arg(self.authority);
        let address = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        curl.args([
            "--resolve",
            &format!("{SHOP}:{port}:{address}"),
            &format!("{scheme}://{SHOP}{path}"),
        ]);
        let answer = process::output(&mut curl)?;
        let (body, status) = answer.rsplit_once('\n').context("curl wrote no status")?;
        Ok(Page {
            status: status.parse().context("curl's status is a number")?,
            body: body.to_owned(),
        })
    }
}
