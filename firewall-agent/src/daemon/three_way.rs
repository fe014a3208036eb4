//! What was loaded, what is on disk, and what an edit wanted: shown where an edit is refused since the files have changed.

use similar::TextDiff;

use super::{
    agent::{Agent, Editor},
    edits::Edited,
    prepare::sources_of,
};
use crate::{
    control::protocol::{Failure, FileDifference},
    diagnostic::SourceSet,
};

/// Lines that are shown of a difference.
const MOST_LINES: usize = 200;

impl Agent {
    /// As [`Agent::refuse_pending_files`], with the three-way difference; `change` says what was wanted of the files that
    /// are in force.
    pub(super) fn refuse_changed_files(
        &self,
        editor: &Editor,
        on_disk: &SourceSet,
        change: impl FnOnce(&SourceSet) -> Result<Vec<Edited>, Failure>,
    ) -> Result<(), Failure> {
        let Err(failure) = self.refuse_pending_files(on_disk) else {
            return Ok(());
        };
        let in_force = self.in_force();
        let number = in_force.revision.as_ref().map(|revision| revision.number);
        let Some(revision) = number.and_then(|number| editor.revisions.read(number).ok()) else {
            return Err(failure);
        };
        let loaded = sources_of(&revision.files);
        let wanted = change(&loaded).unwrap_or_default();
        Err(Failure {
            differences: differences(&loaded, on_disk, &wanted),
            ..failure
        })
    }
}

/// Of each file that differs or was to be written.
fn differences(loaded: &SourceSet, on_disk: &SourceSet, wanted: &[Edited]) -> Vec<FileDifference> {
    let mut names: Vec<_> = loaded.all().map(|(_, source)| source.name().clone()).collect();
    for (_, source) in on_disk.all() {
        if !names.contains(source.name()) {
            names.push(source.name().clone());
        }
    }
    let compare = |name: std::sync::Arc<str>| {
        let before = text(loaded, &name).unwrap_or_default();
        let now = text(on_disk, &name).unwrap_or_default();
        let edited = wanted.iter().find(|edited| edited.path.as_os_str() == &*name);
        let difference = FileDifference {
            on_disk: unified(before, now),
            wanted: edited.map(|edited| unified(&edited.before, &edited.after)),
            path: (*name).into(),
        };
        (!difference.on_disk.is_empty() || difference.wanted.is_some()).then_some(difference)
    };
    names.into_iter().filter_map(compare).collect()
}

fn text<'a>(sources: &'a SourceSet, name: &str) -> Option<&'a str> {
    let mut files = sources.all();
    files
        .find(|(_, source)| **source.name() == *name)
        .map(|(_, source)| source.text())
}

/// The lines that differ, with some around them; empty where none do.
fn unified(one: &str, other: &str) -> String {
    let whole = TextDiff::from_lines(one, other)
        .unified_diff()
        .context_radius(2)
        .missing_newline_hint(false)
        .to_string();
    let mut lines: Vec<&str> = whole.lines().take(MOST_LINES).collect();
    if whole.lines().count() > MOST_LINES {
        lines.push("… and more");
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;

    #[test]
    fn each_file_is_compared_with_both() {
        let set = |files: &[(&str, &str)]| -> SourceSet {
            let files = files.iter().map(|(name, text)| SourceFile::new(*name, *text));
            files.collect()
        };
        let loaded = set(&[("a", "1\n2\n"), ("b", "same\n"), ("gone", "x\n")]);
        let on_disk = set(&[("a", "1\n3\n"), ("b", "same\n"), ("new", "y\n")]);
        let wanted = [Edited {
            path: "b".into(),
            before: "same\n".into(),
            after: "same\nmore\n".into(),
        }];
        let found = differences(&loaded, &on_disk, &wanted);
        let names: Vec<String> = found.iter().map(|one| one.path.display().to_string()).collect();
        assert_eq!(names, ["a", "b", "gone", "new"]);
        assert!(found[0].on_disk.contains("-2") && found[0].on_disk.contains("+3"));
        assert_eq!(found[0].wanted, None);
        assert_eq!(found[1].on_disk, "");
        assert!(
            found[1]
                .wanted
                .as_ref()
                .is_some_and(|text| text.contains("+more"))
        );
        assert!(found[2].on_disk.contains("-x") && found[3].on_disk.contains("+y"));
        assert!(differences(&loaded, &loaded, &[]).is_empty());
    }

    #[test]
    fn long_differences_are_cut() {
        let text = unified("", &"line\n".repeat(500));
        assert_eq!(text.lines().count(), MOST_LINES + 1);
    }
}
