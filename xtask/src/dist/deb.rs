//! The Debian package: what is said about the files, and the archive that dpkg's own tool makes of them.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::{EPOCH, tree::Tree};
use crate::{process, workspace};

const NAME: &str = "firewall-agent";

const MAINTAINER: &str = "The firewall-agent project <maintainers@firewall-agent.invalid>";

/// Debian 12's: what is built there runs there.
const DEPENDS: &str = "libc6 (>= 2.36), libgcc-s1 (>= 4.2), systemd (>= 252), init-system-helpers (>= 1.52)";

/// Which of the files are an administrator's to change, so that an upgrade asks.
const SETTINGS: &str = "etc/";

/// Beside `agent.toml` in the workspace.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Makes the package of a tree, in `directory`.
pub(super) fn write(tree: &Tree, directory: &Path, epoch: u64) -> Result<PathBuf> {
    let files = tree.files()?;
    let version = env!("CARGO_PKG_VERSION");
    let control = tree.root().join("DEBIAN");
    fs::create_dir(&control)?;
    fs::write(control.join("control"), fields(version, kibibytes(tree, &files)?))?;
    fs::write(control.join("md5sums"), sums(tree, &files)?)?;
    let settings = files.iter().filter(|file| file.starts_with(SETTINGS));
    let settings: Vec<String> = settings.map(|file| format!("/{file}\n")).collect();
    fs::write(control.join("conffiles"), settings.concat())?;
    let scripts = workspace::root().join("firewall-agent/package");
    let mut control_files = vec!["control", "md5sums", "conffiles"];
    for script in SCRIPTS {
        fs::copy(scripts.join(script), control.join(script))
            .with_context(|| format!("the package's {script}"))?;
        control_files.push(script);
    }
    for file in control_files {
        let mode = if SCRIPTS.contains(&file) { "755" } else { "644" };
        process::run(Command::new("chmod").arg(mode).arg(control.join(file)))?;
    }
    process::run(Command::new("chmod").arg("755").arg(&control))?;

    let package = directory.join(format!("{NAME}_{version}_amd64.deb"));
    let mut dpkg = Command::new("dpkg-deb");
    // One thread: how many there are must not show in the result.
    dpkg.args(["--build", "--root-owner-group", "-Zxz", "--threads-max=1"])
        .arg(tree.root())
        .arg(&package)
        .env(EPOCH, epoch.to_string());
    process::output(&mut dpkg)?;
    Ok(package)
}

/// The changelog in Debian's form (`deb-changelog(5)`), which says where the changes are written down.
pub(super) fn changelog(epoch: u64) -> Result<String> {
    let time = Timestamp::from_second(epoch.try_into()?)?;
    let time = time.strftime("%a, %d %b %Y %H:%M:%S +0000");
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "{NAME} ({version}) stable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- {MAINTAINER}  {time}\n"
    ))
}

fn fields(version: &str, kibibytes: u64) -> String {
    format!(
        "Package: {NAME}\n\
         Version: {version}\n\
         Architecture: amd64\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {kibibytes}\n\
         Depends: {DEPENDS}\n\
         Section: net\n\
         Priority: optional\n\
         Description: stateful host firewall in eBPF\n \
         An XDP program judges every frame that comes in, a tcx program what goes out;\n \
         an agent compiles one policy file per role and switches policies live.\n \
         .\n \
         Installing it enforces nothing: the first enforcement is the operator's\n \
         `fwctl apply --confirm 60s`. Removing it takes everything out of the kernel.\n"
    )
}

/// What the files take on a disk, as Debian's policy counts it.
fn kibibytes(tree: &Tree, files: &[String]) -> Result<u64> {
    let mut sum = 0;
    for file in files {
        sum += fs::metadata(tree.root().join(file))?.len().div_ceil(1024);
    }
    Ok(sum)
}

/// For `dpkg --verify`. Settings are the administrator's, and not among them.
fn sums(tree: &Tree, files: &[String]) -> Result<String> {
    let installed = files.iter().filter(|file| !file.starts_with(SETTINGS));
    let mut sums = String::new();
    let mut md5sum = Command::new("md5sum");
    let printed = process::output(md5sum.args(installed).current_dir(tree.root()))?;
    for line in printed.lines() {
        let _ = writeln!(sums, "{line}");
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changelog_is_one_that_debian_reads() {
        let text = changelog(0).expect("a time");
        assert!(text.starts_with("firewall-agent ("), "{text}");
        assert!(text.ends_with(">  Thu, 01 Jan 1970 00:00:00 +0000\n"), "{text}");
        changelog(u64::MAX).expect_err("no calendar goes so far");
    }

    #[test]
    fn every_line_of_the_description_is_indented() {
        let fields = fields("1.2.3", 7);
        let description = fields.split_once("Description: ").expect("there is one").1;
        assert!(
            description.lines().skip(1).all(|line| line.starts_with(' ')),
            "{description}"
        );
        assert!(fields.lines().any(|line| line == "Version: 1.2.3"));
    }
}
