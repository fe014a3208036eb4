//! nginx with TLS in front of the shop's application, and a file to download.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{text, write};
use crate::lab::{
    daemon,
    network::{DB, WEB},
    state::State,
    tls::Authority,
};

const CONFIGURATION: &str = include_str!("../files/nginx.conf");
const APPLICATION: &str = include_str!("../files/app.py");
/// The size of the file to download, in mebibytes.
const DOWNLOAD_MIB: u32 = 16;

/// Starts the application and nginx.
pub(crate) fn start(state: &mut State, authority: &Authority) -> Result<()> {
    let folder = state.folder(WEB.name)?;
    let identity = authority.issue(WEB, "web.internal")?;

    let application = folder.join("app.py");
    fs::write(&application, APPLICATION)?;
    let mut command = WEB.namespace().command("/usr/bin/python3");
    command
        .arg(&application)
        .arg(DB.v4.to_string())
        .arg(authority.certificate());
    daemon::start(state, "web/app", &folder, &mut command)?;

    write_download(&folder.join("download"))?;
    let configuration = folder.join("nginx.conf");
    let values = [
        ("folder", text(&folder)),
        ("certificate", text(&identity.certificate)),
        ("key", text(&identity.key)),
    ];
    write(
        &configuration,
        CONFIGURATION,
        &values.each_ref().map(|(name, value)| (*name, value.as_str())),
    )?;
    let mut command = WEB.namespace().command("nginx");
    command.arg("-c").arg(&configuration).arg("-p").arg(&folder);
    daemon::start(state, "web/nginx", &folder, &mut command)
}

/// Waits until both take connections.
pub(crate) fn wait() -> Result<()> {
    daemon::wait_for_port("the application", WEB.namespace(), "127.0.0.1:8000")?;
    daemon::wait_for_port("nginx", WEB.namespace(), "127.0.0.1:443")
}

/// The file that can be downloaded as `/download/file`.
pub(crate) fn download(state: &State) -> Result<PathBuf> {
    Ok(state.folder(WEB.name)?.join("download/file"))
}

/// A file in which no two blocks are alike, so that a lost or repeated piece changes its checksum.
fn write_download(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = BufWriter::new(File::create(folder.join("file"))?);
    for number in 0..DOWNLOAD_MIB * 1024 * 1024 / 16 {
        writeln!(file, "{number:015}")?;
    }
    Ok(file.flush()?)
}
