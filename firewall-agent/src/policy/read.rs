//! Reads policy files from disk.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    check::{Date, Options, check},
    list_file,
    model::{Failsafe, ValidPolicy},
    syntax::{self, Layer},
    target::{Scope, Target},
    writers::has_writer,
};
use crate::diagnostic::{Diagnostic, Severity, SourceFile, SourceSet};

/// Largest policy file; a hundred thousand rules fit many times.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The ending of policy files.
const EXTENSION: &str = "toml";

/// A policy that can be put in force.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: ValidPolicy,
    /// What is suspicious about it.
    pub warnings: Vec<Diagnostic>,
    /// The texts that it was made of.
    pub sources: SourceSet,
}

/// A policy that cannot be put in force.
#[derive(Debug, thiserror::Error)]
#[error(
    "the policy has {} error{}; the first: {}",
    self.errors(),
    if self.errors() == 1 { "" } else { "s" },
    self.first()
)]
pub struct Rejected {
    /// Everything that was found, warnings too.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the findings point into.
    pub sources: SourceSet,
}

impl Rejected {
    /// How many of the findings are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|one| one.severity() == Severity::Error)
            .count()
    }

    /// The first error in one line: `web.toml:14: FW010 …`.
    #[must_use]
    pub fn first(&self) -> String {
        let Some(error) = self.diagnostics.iter().find(|one| one.is_error()) else {
            return String::new();
        };
        let place = &error.primary.place;
        let (file, line) = (
            self.sources.file(place.file).name(),
            self.sources.position(place).line,
        );
        format!("{file}:{line}: {} {}", error.code.id(), error.message)
    }
}

/// Reads and checks files and directories for one host or role. `today` is for review dates.
pub fn load(
    paths: &[PathBuf],
    target: &Target,
    failsafe: &Failsafe,
    today: Option<Date>,
) -> Result<Loaded, Rejected> {
    let options = Options {
        scope: Scope::One(target.clone()),
        failsafe: Some(failsafe.clone()),
        today,
        kernel_forwards: false,
    };
    let checked = check(read_sources(paths), &options);
    match checked.policies.into_iter().next() {
        Some(policy) => Ok(Loaded {
            policy,
            warnings: checked.diagnostics,
            sources: checked.sources,
        }),
        None => Err(Rejected {
            diagnostics: checked.diagnostics,
            sources: checked.sources,
        }),
    }
}

/// Reads files, and of directories every `*.toml` file in them, in the order of their names. A file that cannot be
/// read stays in the set as such, and [`check`] reports it.
#[must_use]
pub fn read_sources(paths: &[PathBuf]) -> SourceSet {
    let mut sources = SourceSet::new();
    for path in paths {
        match files_of(path) {
            Ok(files) => files.iter().for_each(|file| {
                sources.add(read_file(file));
            }),
            Err(error) => {
                sources.add(SourceFile::unreadable(path.to_string_lossy(), error.to_string()));
            }
        }
    }
    add_lists(&mut sources);
    sources
}

/// Reads what an operator names for a check: directories as wholes, and files together with `base.toml` and
/// `inventory.toml` of their directory, where no file that was named is that layer; a host layer also with the role
/// layers of its directory. Says for whom to check.
#[must_use]
pub fn read_for_check(paths: &[PathBuf]) -> (SourceSet, Scope) {
    let mut sources = read_sources(paths);
    if paths.iter().any(|path| path.is_dir()) {
        return (sources, Scope::Everybody);
    }
    let layers: Vec<_> = sources
        .iter()
        .filter_map(|(_, source)| syntax::layer_of(source.text()))
        .collect();
    for (name, layer) in [("base.toml", Layer::Base), ("inventory.toml", Layer::Inventory)] {
        let beside = paths
            .iter()
            .map(|path| path.with_file_name(name))
            .find(|path| path.is_file());
        if let (Some(path), false) = (beside, layers.contains(&layer)) {
            sources.add(read_file(&path));
        }
    }
    if layers.iter().any(|layer| matches!(layer, Layer::Host(_))) {
        add_roles_beside(paths, &layers, &mut sources);
    }
    add_lists(&mut sources);
    (sources, Scope::Files)
}

/// Reads the block lists that the policy files of a set name and that are not in it.
#[must_use]
pub(crate) fn read_lists_of(mut sources: SourceSet) -> SourceSet {
    add_lists(&mut sources);
    sources
}

/// Reads the block lists that the policy files name, each once.
fn add_lists(sources: &mut SourceSet) {
    let named: BTreeSet<String> = sources
        .iter()
        .flat_map(|(_, source)| {
            let files = syntax::list_files(source.text()).into_iter();
            files.map(|file| list_path(source.name(), &file))
        })
        .collect();
    for name in named {
        if sources.lists().any(|(_, source)| **source.name() == *name) {
            continue;
        }
        sources.add(match list_file::read(Path::new(&name)) {
            Ok(text) => SourceFile::list(name, text),
            Err(error) => SourceFile::unreadable_list(name, error.to_string()),
        });
    }
}

/// Where a list lies that a policy file names: from the policy file's folder on.
pub(super) fn list_path(policy_file: &str, list: &str) -> String {
    let folder = Path::new(policy_file).parent().unwrap_or(Path::new(""));
    folder.join(list).to_string_lossy().into_owned()
}

/// What a host layer replaces may stand in the layer of its role.
fn add_roles_beside(paths: &[PathBuf], named: &[Layer], sources: &mut SourceSet) {
    let folders: BTreeSet<_> = paths.iter().filter_map(|path| path.parent()).collect();
    let is_missing_role = |layer: &Layer| matches!(layer, Layer::Role(_)) && !named.contains(layer);
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let beside = files_of(folder).unwrap_or_default();
        for file in beside.iter().map(|path| read_file(path)) {
            if syntax::layer_of(file.text()).is_some_and(|layer| is_missing_role(&layer)) {
                sources.add(file);
            }
        }
    }
}

fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if is_policy_file(&file) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the directory holds no *.toml file",
        ));
    }
    Ok(files)
}

/// Hidden files are left out: editors and this program keep half-written ones there.
fn is_policy_file(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == EXTENSION) && !path.is_dir()
}

fn read_file(path: &Path) -> SourceFile {
    let name = path.to_string_lossy();
    match read_text(path) {
        Ok(text) => SourceFile::new(name, text),
        Err(error) => SourceFile::unreadable(name, error.to_string()),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    let mut text = String::new();
    (&file).take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {MAX_FILE_BYTES} bytes"),
        ));
    }
    refuse_half(&file, &text)?;
    Ok(text)
}

/// Half a policy can be one that checks, with the rules missing that were still to be written.
fn refuse_half(file: &fs::File, text: &str) -> io::Result<()> {
    let half = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    // Asked after the text was read: whoever writes now may have written then.
    if has_writer(file) {
        return half(
            "it may be half written: another program has it open for writing; try again when it is done",
        );
    }
    if !text.is_empty() && !text.ends_with('\n') {
        return half("it may be half written: its last line has no end; add an end of line if it is whole");
    }
    if file.metadata()?.len() != text.len() as u64 {
        return half("it was written to while it was read; try again");
    }
    Ok(())
}
