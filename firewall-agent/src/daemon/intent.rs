//! A change that touches files and the kernel side is one thing: what was cut short by the agent's end is ended or
//! undone by the next start.

use std::{fs, io, path::Path, sync::Arc};

use super::{agent::Editor, chain::chain, policy_files::write_file, start::Starter};
use crate::{
    control::protocol::{Failure, FailureKind},
    failpoint::Step,
    state::{Actor, Cause, IntendedWrite, Intent, Manifest, Revision, StateError, Write, sha256_hex},
};

impl Editor {
    /// Notes a change that begins, and the files that it is going to write. What `known`, a revision that is kept, has of
    /// them need not be noted.
    pub(super) fn begin(
        &self,
        by: &Actor,
        cause: Cause,
        writes: &[Write],
        known: Option<&Manifest>,
    ) -> Result<(), StateError> {
        let former = self.revisions.current();
        // Another revision may be cut off before a start could ask it.
        let known = known.filter(|known| Some(known.number) == former);
        let has = |path: &Path, sha256: &str| {
            let mut files = known.into_iter().flat_map(|known| &known.files);
            files.any(|file| file.path == path && file.sha256 == sha256)
        };
        self.intent
            .write(&Intent::new(by.clone(), cause, former, writes, has))?;
        Step::IntentNoted.done();
        Ok(())
    }

    /// The change that had begun has ended: it is made, or nothing of it is left.
    pub(super) fn end(&self) {
        if let Err(error) = self.intent.clear() {
            tracing::warn!(%error, "the note of a change that has ended is left over");
        }
        Step::IntentCleared.done();
    }
}

/// For the operator, where a change could not even begin.
pub(super) fn not_begun(error: &StateError) -> Failure {
    Failure::new(FailureKind::Failed, chain(error))
        .hint("what was in force stays in force; look at the state directory, then try again")
}

impl Starter<'_> {
    /// Ends or undoes the change that the agent was about to make when it ended, as far as files are concerned: whether
    /// its revision counts decides. The kernel side is had right by whatever is put in force.
    pub(super) fn settle_intent(&mut self, editor: &Editor, last: Option<&Revision>, waits: bool) {
        let intent = match editor.intent.read() {
            Ok(Some(intent)) => intent,
            Ok(None) => return,
            Err(error) => return self.note(error.to_string()),
        };
        let counts = intent.counts(last);
        let mut left = Vec::new();
        let mut written = Vec::new();
        for write in &intent.writes {
            match settle_file(write, counts, last) {
                Ok(false) => {}
                Ok(true) => written.push(write.path.display().to_string()),
                Err(error) => left.push(error),
            }
        }
        if !waits || !written.is_empty() {
            self.note(told(&intent, counts, &written));
        }
        for error in left {
            self.note(format!("a policy file is not as the policy in force: {error}"));
        }
        editor.end();
    }
}

fn told(intent: &Intent, counts: bool, written: &[String]) -> String {
    let what = format!(
        "the agent ended while it made a change of {} ({})",
        intent.by.describe(),
        intent.cause.name()
    );
    let outcome = if counts {
        "the change is in force"
    } else {
        "the change was taken back"
    };
    match written {
        [] => format!("{what}: {outcome}"),
        files => format!("{what}: {outcome}, and written anew were {}", files.join(", ")),
    }
}

/// Has a file as the change wanted it or as it was; returns whether it had to be written. One that somebody has written
/// to since is left alone.
fn settle_file(write: &IntendedWrite, counts: bool, last: Option<&Revision>) -> Result<bool, String> {
    let path = &write.path;
    let on_disk = match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let hash = on_disk.as_ref().map(|text| sha256_hex(text.as_bytes()));
    let before = write.before.as_ref().map(|known| &known.sha256);
    let (from, to) = if counts {
        (before, write.after.as_ref())
    } else {
        (write.after.as_ref(), before)
    };
    if hash.as_ref() == to {
        return Ok(false);
    }
    if hash.as_ref() != from {
        return Err(format!(
            "{} was changed by somebody else in the meantime",
            path.display()
        ));
    }
    let kept = write.before.as_ref().filter(|_| !counts);
    let text = match (kept.and_then(|known| known.text.clone()), to) {
        (Some(text), _) => Some(text),
        (None, Some(sha256)) => Some(stored(last, path, sha256)?),
        (None, None) => None,
    };
    write_file(&Write {
        path: path.clone(),
        before: on_disk.map(Arc::from),
        after: text,
    })?;
    Ok(true)
}

fn stored(last: Option<&Revision>, path: &Path, sha256: &str) -> Result<Arc<str>, String> {
    let files = last.into_iter().flat_map(|last| &last.files);
    let mut texts = files.filter(|file| file.path == path).map(|file| &file.text);
    let text = texts.find(|text| sha256_hex(text.as_bytes()) == sha256);
    text.cloned()
        .ok_or_else(|| format!("no revision has the text of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{IntentFile, StateDirectory};

    fn write(path: &Path, before: Option<&str>, after: Option<&str>) -> Write {
        Write {
            path: path.to_owned(),
            before: before.map(Into::into),
            after: after.map(Into::into),
        }
    }

    fn intent(writes: &[Write]) -> Intent {
        Intent::new(Actor::new(0, None), Cause::Edit, None, writes, |_, _| false)
    }

    #[test]
    fn what_was_begun_is_undone_file_by_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for (name, before, on_disk, after) in [
            ("changed", Some("1"), Some("2"), Some("2")),
            ("untouched", Some("1"), Some("1"), Some("2")),
            ("made", None, Some("2"), Some("2")),
            ("not-made", None, None, Some("2")),
            ("removed", Some("1"), None, None),
        ] {
            let path = path(name);
            if let Some(text) = on_disk {
                fs::write(&path, text).expect("ours");
            }
            let intent = intent(&[write(&path, before, after)]);
            assert!(!intent.counts(None), "no revision counts");
            assert_eq!(
                settle_file(&intent.writes[0], false, None),
                Ok(on_disk != before),
                "{name}"
            );
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before, "{name}");
        }
    }

    #[test]
    fn what_somebody_has_written_since_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("web.toml");
        fs::write(&path, "theirs").expect("ours");
        let intent = intent(&[write(&path, Some("1"), Some("2"))]);
        for counts in [false, true] {
            let left = settle_file(&intent.writes[0], counts, None).expect_err("it is neither");
            assert!(left.contains("changed by somebody else"), "{left}");
        }
        assert_eq!(fs::read_to_string(&path).expect("there"), "theirs");
    }

    #[test]
    fn a_text_that_a_revision_has_is_noted_by_its_hash() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = StateDirectory::open(directory.path()).expect("free");
        let file = IntentFile::new(&state);
        let writes = [write(Path::new("/p/list"), Some("1"), Some("2"))];
        let noted = Intent::new(
            Actor::new(0, None),
            Cause::SetAdd,
            Some(3),
            &writes,
            |_, sha256| sha256 == sha256_hex(b"1"),
        );
        file.write(&noted).expect("written");
        let read = file.read().expect("readable").expect("there");
        assert_eq!(read, noted);
        assert!(
            read.writes[0]
                .before
                .as_ref()
                .is_some_and(|known| known.text.is_none())
        );
        let lost = settle_file(&read.writes[0], true, None).expect_err("there is no such file");
        assert!(lost.contains("changed by somebody else"), "{lost}");
        file.clear().expect("removed");
        assert_eq!(file.read().expect("readable"), None);
    }
}
