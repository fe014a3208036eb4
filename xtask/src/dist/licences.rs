//! Who holds the rights in what the package is made of.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{crates::Crate, tree::read};

/// Licences that Debian keeps the texts of.
const COMMON: [(&str, &str); 2] = [("Apache-2.0", "Apache-2.0"), ("GPL-2.0", "GPL-2")];

/// `debian/copyright` in its machine-readable form.
/// <https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>
pub(super) fn copyright(root: &Path, crates: &[Crate]) -> Result<String> {
    let mit = String::from_utf8(read(&root.join("LICENSE-MIT"))?).context("a licence in UTF-8")?;
    let holder = mit.lines().find_map(|line| line.strip_prefix("Copyright (c) "));
    let holder = holder.context("the licence says who holds the rights")?;
    let mut text = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: firewall-agent\n\
         Comment: The crates of others that the programs contain are listed in sbom.cdx.json.gz; their notices are in\n \
         third-party-licences.txt.gz.\n\n\
         Files: *\nCopyright: {holder}\nLicense: Expat or Apache-2.0\n\n\
         Files: usr/sbin/firewall-agent\nCopyright: {holder}\n and the authors of {} crates of others\n\
         License: Expat or Apache-2.0\nComment: The eBPF programs inside: Expat or GPL-2.0.\n\n\
         License: Expat\n",
        crates.iter().filter(|one| !one.is_own()).count()
    );
    let permission = mit.lines().skip_while(|line| !line.starts_with("Permission"));
    for line in permission {
        let _ = writeln!(text, " {}", if line.is_empty() { "." } else { line });
    }
    for (name, file) in COMMON {
        let _ = write!(
            text,
            "\nLicense: {name}\n On Debian systems the text is in /usr/share/common-licenses/{file}.\n"
        );
    }
    Ok(text)
}

/// The notices of all crates of others, each text once, with those that it is about.
pub(super) fn third_party(crates: &[Crate]) -> Result<String> {
    let mut about: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut text = "Crates of others in firewall-agent and fwctl, and their licences.\n\n".to_owned();
    for one in crates.iter().filter(|one| !one.is_own()) {
        let _ = writeln!(text, "{} {}: {}", one.name, one.version, one.licence);
        for notice in notices(&one.sources)? {
            let content = String::from_utf8_lossy(&read(&notice)?).replace("\r\n", "\n");
            about
                .entry(content)
                .or_default()
                .push(format!("{} {}", one.name, one.version));
        }
    }
    let mut about: Vec<(Vec<String>, String)> =
        about.into_iter().map(|(notice, names)| (names, notice)).collect();
    about.sort();
    for (mut names, notice) in about {
        names.dedup();
        let _ = write!(
            text,
            "\n{}\n{}\n\n{}\n",
            "=".repeat(80),
            names.join(", "),
            notice.trim()
        );
    }
    Ok(text)
}

/// The files of a crate that say who may do what, sorted.
fn notices(sources: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(sources).with_context(|| format!("listing {}", sources.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_uppercase();
        let is_notice = [
            "LICENSE",
            "LICENCE",
            "COPYING",
            "COPYRIGHT",
            "NOTICE",
            "UNLICENSE",
        ]
        .iter()
        .any(|start| name.starts_with(start));
        if is_notice && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
