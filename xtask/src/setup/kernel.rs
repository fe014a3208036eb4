//! Debian's 6.1 kernel, the oldest that is supported: downloaded as a package and unpacked, never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::announce;
use crate::{process, workspace};

/// Packages of this kernel are named so, with a build number in between.
const PREFIX: &str = "linux-image-6.1.0-";
const SUFFIX: &str = "-cloud-amd64";

/// The directory that the kernel's package is unpacked in: `boot/vmlinuz-…` and `lib/modules/…`.
pub(crate) fn directory() -> PathBuf {
    workspace::target_dir().join("vm/kernel-6.1")
}

/// The kernel image, if it is unpacked.
pub(crate) fn image() -> Option<PathBuf> {
    let boot = fs::read_dir(directory().join("boot")).ok()?;
    boot.filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        })
}

/// Downloads and unpacks it unless it is there.
pub(super) fn ensure() -> Result<()> {
    if image().is_some() {
        return Ok(());
    }
    if let Some(name) = newest_package()? {
        return unpack(&name);
    }
    announce("fetching apt's package lists");
    process::output(Command::new("apt-get").args(["--quiet", "update"]))?;
    match newest_package()? {
        Some(name) => unpack(&name),
        None => bail!("apt knows no {PREFIX}*{SUFFIX}: is Debian 12 (bookworm, main) among its sources?"),
    }
}

fn newest_package() -> Result<Option<String>> {
    let names = process::output(Command::new("apt-cache").args(["pkgnames", PREFIX]))?;
    Ok(newest(names.lines()))
}

/// The package with the highest build number.
fn newest<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .filter_map(|name| {
            let build: u32 = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
            Some((build, name))
        })
        .max()
        .map(|(_, name)| name.to_owned())
}

/// Unpacks beside the final place and renames, so that a broken-off download is never taken for a kernel.
fn unpack(name: &str) -> Result<()> {
    announce(&format!(
        "downloading {name} for the virtual machine (26 MB, unpacked in the target directory only)"
    ));
    let final_place = directory();
    let parent = final_place
        .parent()
        .context("the kernel's directory has a parent")?;
    let scratch = parent.join("download");
    remove_if_there(&scratch)?;
    fs::create_dir_all(&scratch)?;
    // Without this option apt drops its rights and then cannot write into the target directory.
    let mut download = Command::new("apt-get");
    download
        .args(["--quiet", "--option", "APT::Sandbox::User=root", "download", name])
        .current_dir(&scratch);
    process::output(&mut download)?;
    let unpacked = scratch.join("unpacked");
    process::output(
        Command::new("dpkg")
            .arg("-x")
            .arg(downloaded(&scratch)?)
            .arg(&unpacked),
    )?;
    remove_if_there(&final_place)?;
    fs::rename(&unpacked, &final_place)?;
    fs::remove_dir_all(&scratch)?;
    Ok(())
}

fn downloaded(directory: &Path) -> Result<PathBuf> {
    fs::read_dir(directory)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get download left no package")
}

fn remove_if_there(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_build_is_taken() {
        let names = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-57-cloud-amd64-dbg",
        ];
        assert_eq!(
            newest(names.into_iter()).as_deref(),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
    }

    #[test]
    fn no_kernel_is_no_package() {
        assert_eq!(newest(["linux-image-6.12.100-cloud-amd64"].into_iter()), None);
    }
}
