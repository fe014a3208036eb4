//! The company's certificate authority and the servers' certificates, made anew for each lab.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::network::Host;
use crate::process;

/// The certificate authority.
pub(crate) struct Authority {
    folder: PathBuf,
}

/// A server's certificate and key, as files.
pub(crate) struct Identity {
    /// The certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes a new one.
    pub(crate) fn create(folder: PathBuf) -> Result<Self> {
        let mut openssl = new_certificate(&folder, "ca");
        openssl.args(["-subj", "/CN=Lab certificate authority"]);
        openssl.args([
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ]);
        process::output(&mut openssl).context("making the certificate authority")?;
        Ok(Self { folder })
    }

    /// The certificate that everybody in the lab trusts.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Makes a certificate for a host, valid for a name and for the host's addresses.
    pub(crate) fn issue(&self, host: Host, name: &str) -> Result<Identity> {
        let mut openssl = new_certificate(&self.folder, host.name);
        openssl.args([
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]);
        openssl.args([
            "-addext",
            &format!("subjectAltName=DNS:{name},IP:{},IP:{}", host.v4, host.v6),
        ]);
        openssl
            .arg("-CA")
            .arg(self.certificate())
            .arg("-CAkey")
            .arg(self.folder.join("ca.key"));
        process::output(&mut openssl).with_context(|| format!("making the certificate for {name}"))?;
        Ok(Identity {
            certificate: self.folder.join(format!("{}.crt", host.name)),
            key: self.folder.join(format!("{}.key", host.name)),
        })
    }
}

impl Identity {
    /// Certificate and key in one file, as HAProxy wants them.
    pub(crate) fn bundle(&self, path: &Path) -> Result<()> {
        let text = fs::read_to_string(&self.certificate)? + &fs::read_to_string(&self.key)?;
        Ok(fs::write(path, text)?)
    }
}

fn new_certificate(folder: &Path, name: &str) -> Command {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-new", "-nodes", "-sha256", "-days", "2"]);
    openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.arg("-keyout").arg(folder.join(format!("{name}.key")));
    openssl.arg("-out").arg(folder.join(format!("{name}.crt")));
    openssl
}
