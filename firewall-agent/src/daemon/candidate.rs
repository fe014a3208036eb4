//! A policy that an operator hands in: the files on disk, with others in the places of some of them.

use std::path::{Path, PathBuf};

use super::{prepare::sources_of, timed};
use crate::{
    control::protocol::{Failure, FailureKind, NewFile},
    diagnostic::{SourceFile, SourceSet},
    policy::read_lists_of,
    settings::Settings,
    state::{PolicyFile, Write},
};

/// The files on disk, with what was handed in, and what has to be written for the disk to be the same.
pub(super) fn candidate(
    on_disk: SourceSet,
    files: Vec<NewFile>,
    settings: &Settings,
) -> Result<(SourceSet, Vec<Write>), Failure> {
    if files.is_empty() {
        return Ok((on_disk, Vec::new()));
    }
    let mut sources: Vec<SourceFile> = on_disk.all().map(|(_, source)| source.clone()).collect();
    let mut writes = Vec::new();
    for file in files {
        let place = place_of(&sources, &file.path);
        if place.is_some_and(|place| timed::is_own(&sources[place], settings)) {
            return Err(timed::not_by_hand(&file.path));
        }
        let path = match place {
            Some(place) => PathBuf::from(&**sources[place].name()),
            None => new_path(settings, &file.path)?,
        };
        let (before, is_list) = place.map_or((None, false), |place| {
            let source = &sources[place];
            let before = source.fault().is_none().then(|| source.shared_text());
            (before, source.is_list())
        });
        let source = if is_list {
            SourceFile::list(path.to_string_lossy(), file.text)
        } else {
            SourceFile::new(path.to_string_lossy(), file.text)
        };
        if before.as_deref() != Some(source.text()) {
            writes.push(Write {
                path,
                before,
                after: Some(source.shared_text()),
            });
        }
        match place {
            Some(place) => sources[place] = source,
            None => sources.insert(sorted_place(&sources, &source), source),
        }
    }
    Ok((read_lists_of(sources.into_iter().collect()), writes))
}

/// The policy file that has this path, or this name.
fn place_of(sources: &[SourceFile], wanted: &Path) -> Option<usize> {
    let by_path = sources
        .iter()
        .position(|source| Path::new(&**source.name()) == wanted);
    by_path.or_else(|| {
        let name = wanted.file_name()?;
        sources
            .iter()
            .position(|source| Path::new(&**source.name()).file_name() == Some(name))
    })
}

/// Beside the other policy files.
fn new_path(settings: &Settings, wanted: &Path) -> Result<PathBuf, Failure> {
    let directory = settings.policy.iter().find(|path| path.is_dir());
    let is_policy = wanted.extension().is_some_and(|extension| extension == "toml");
    match (directory, wanted.file_name()) {
        (Some(directory), Some(name)) if is_policy => Ok(directory.join(name)),
        _ => Err(Failure::new(
            FailureKind::NotFound,
            format!("{} is none of the policy files", wanted.display()),
        )
        .hint("name it like the policy file that it is to replace; a new one ends in .toml")),
    }
}

/// Where reading the directory would put it.
fn sorted_place(sources: &[SourceFile], new: &SourceFile) -> usize {
    let (path, parent) = (Path::new(&**new.name()), Path::new(&**new.name()).parent());
    let beside = |source: &SourceFile| !source.is_list() && Path::new(&**source.name()).parent() == parent;
    let behind = sources
        .iter()
        .position(|source| beside(source) && Path::new(&**source.name()) > path);
    behind
        .or_else(|| sources.iter().rposition(beside).map(|last| last + 1))
        .unwrap_or(0)
}

/// The files of a revision in the place of those on disk, and what has to be written for the disk to be the same.
pub(super) fn of_revision(
    on_disk: &SourceSet,
    files: &[PolicyFile],
) -> Result<(SourceSet, Vec<Write>), Failure> {
    let mut writes = Vec::new();
    for file in files {
        let (_, source) = on_disk
            .all()
            .find(|(_, source)| Path::new(&**source.name()) == file.path)
            .unzip();
        let before = source.filter(|source| source.fault().is_none());
        if before.is_some_and(|source| source.text() == &*file.text) {
            continue;
        }
        if file.path.extension().is_some_and(|extension| extension == "gz") {
            let message = format!("{} is compressed and is not written to", file.path.display());
            return Err(Failure::new(FailureKind::Conflict, message)
                .hint("put the former list in its place by hand, then try again"));
        }
        writes.push(Write {
            path: file.path.clone(),
            before: before.map(SourceFile::shared_text),
            after: Some(file.text.clone()),
        });
    }
    let is_kept = |source: &SourceFile| files.iter().any(|file| file.path == Path::new(&**source.name()));
    // A list that no file names any more does no harm where it lies.
    let gone = on_disk.iter().filter(|(_, source)| !is_kept(source));
    writes.extend(gone.map(|(_, source)| Write {
        path: PathBuf::from(&**source.name()),
        before: Some(source.shared_text()),
        after: None,
    }));
    Ok((sources_of(files), writes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> SourceSet {
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        [
            SourceFile::new(path("base.toml"), "a = 1\n"),
            SourceFile::new(path("web.toml"), "b = 1\n"),
        ]
        .into_iter()
        .collect()
    }

    fn settings(directory: &Path) -> Settings {
        let text = format!("policy = [\"{}\"]\n", directory.display());
        crate::settings::parse(&text, Path::new("/agent.toml")).expect("right")
    }

    fn new_file(path: &str, text: &str) -> NewFile {
        NewFile {
            path: path.into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_file_takes_the_place_of_its_namesake_and_a_new_one_its_place_in_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        let handed_in = vec![
            new_file("/tmp/web.toml", "b = 2\n"),
            new_file("/tmp/dns.toml", "c = 1\n"),
            new_file("base.toml", "a = 1\n"),
        ];
        let (sources, writes) = candidate(files(at), handed_in, &settings(at)).expect("all are right");
        let texts: Vec<_> = sources
            .iter()
            .map(|(_, source)| source.text().to_owned())
            .collect();
        assert_eq!(texts, ["a = 1\n", "c = 1\n", "b = 2\n"]);
        let written: Vec<_> = writes.iter().map(|write| write.path.clone()).collect();
        assert_eq!(
            written,
            [at.join("web.toml"), at.join("dns.toml")],
            "the same is not written"
        );
    }

    #[test]
    fn what_is_no_policy_file_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        for name in ["web.txt", "/"] {
            candidate(files(at), vec![new_file(name, "x")], &settings(at)).expect_err(name);
        }
    }
}
