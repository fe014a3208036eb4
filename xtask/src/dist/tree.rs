//! The files of the package, as they are going to lie on a host.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::process;

const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;

/// A directory that stands for the root directory of a host.
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(super) fn new(root: &Path) -> Result<Self> {
        fs::create_dir_all(root)?;
        fs::set_permissions(root, fs::Permissions::from_mode(PROGRAM))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Puts a file at an absolute path of the host.
    pub(super) fn file(&mut self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.put(path, content.as_ref(), FILE)
    }

    /// The same for one that can be run.
    pub(super) fn program(&mut self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.put(path, content.as_ref(), PROGRAM)
    }

    /// The same for a copy of a file.
    pub(super) fn copy(&mut self, from: &Path, path: &str) -> Result<()> {
        self.file(path, read(from)?)
    }

    /// The same, packed without name and time; `.gz` is put behind the name.
    pub(super) fn packed(&mut self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.file(path, content)?;
        let mut gzip = std::process::Command::new("gzip");
        process::run(gzip.args(["-9", "-n", "-f"]).arg(self.place(path)))?;
        Ok(())
    }

    /// An empty directory.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        let place = self.place(path);
        fs::create_dir_all(&place)?;
        for made in place.ancestors().take_while(|made| *made != self.root) {
            fs::set_permissions(made, fs::Permissions::from_mode(PROGRAM))?;
        }
        Ok(())
    }

    fn put(&mut self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let (parent, _) = path.rsplit_once('/').context("a path begins with a slash")?;
        self.directory(parent)?;
        let place = self.place(path);
        fs::write(&place, content).with_context(|| format!("writing {}", place.display()))?;
        Ok(fs::set_permissions(&place, fs::Permissions::from_mode(mode))?)
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// All files, by their paths without the leading slash, sorted.
    pub(super) fn files(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut left = vec![self.root.clone()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                if path.is_dir() {
                    left.push(path);
                } else {
                    let path = path.strip_prefix(&self.root)?;
                    found.push(path.to_str().context("a name in UTF-8")?.to_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// A file's content, with its name in the error.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}
