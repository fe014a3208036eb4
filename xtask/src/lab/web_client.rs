//! A customer's browser, as far as the lab needs one: curl, trusting the lab's authority.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

use super::{network::Host, servers::load_balancer::SHOP};
use crate::process;

/// What a download should be: the same bytes, and no stall.
pub(crate) const COMPLETE: &str = "complete";

/// Who asks, and whom they trust.
pub(crate) struct Client {
    /// The host that asks.
    pub(crate) from: Host,
    /// The certificate authority that it trusts.
    pub(crate) authority: PathBuf,
}

/// An answer.
pub(crate) struct Page {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What was sent with it.
    pub(crate) body: String,
}

/// A download that is under way.
pub(crate) struct Download {
    curl: Child,
    file: PathBuf,
}

impl Client {
    /// Asks the shop at this address for a page, without following a redirect.
    pub(crate) fn get(&self, scheme: &str, address: IpAddr, path: &str) -> Result<Page> {
        let mut curl = self.curl(scheme, address, path);
        curl.args(["--max-time", "10", "--write-out", "\n%{http_code}"]);
        let answer = process::output(&mut curl)?;
        let (body, status) = answer.rsplit_once('\n').context("curl wrote no status")?;
        Ok(Page {
            status: status.parse().context("curl's status is a number")?,
            body: body.to_owned(),
        })
    }

    /// Begins to fetch a file into `file`, at most so many bytes in a second. It fails where less than a tenth of that
    /// comes in two seconds.
    pub(crate) fn download(
        &self,
        address: IpAddr,
        path: &str,
        file: PathBuf,
        bytes_per_second: u32,
    ) -> Result<Download> {
        let mut curl = self.curl("https", address, path);
        curl.args(["--fail", "--limit-rate", &bytes_per_second.to_string()]);
        curl.args([
            "--speed-limit",
            &(bytes_per_second / 10).to_string(),
            "--speed-time",
            "2",
        ]);
        curl.arg("--output").arg(&file);
        let curl = curl.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        Ok(Download { curl, file })
    }

    fn curl(&self, scheme: &str, address: IpAddr, path: &str) -> Command {
        let port = if scheme == "https" { 443 } else { 80 };
        let address = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let mut curl = self.from.namespace().command("curl");
        curl.args(["--silent", "--show-error", "--cacert"])
            .arg(&self.authority);
        curl.args(["--resolve", &format!("{SHOP}:{port}:{address}")]);
        curl.arg(format!("{scheme}://{SHOP}{path}"));
        curl
    }
}

impl Download {
    /// Whether it is still under way.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.curl.try_wait()?.is_none())
    }

    /// Waits for the end and says what has come of it, measured against the file that was to be fetched.
    pub(crate) fn finish(mut self, original: &Path) -> Result<&'static str> {
        if !self.curl.wait()?.success() {
            return Ok("broken off");
        }
        Ok(if fs::read(&self.file)? == fs::read(original)? {
            COMPLETE
        } else {
            "damaged"
        })
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}
