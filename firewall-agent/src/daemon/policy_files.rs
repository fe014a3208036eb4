//! Writes policy files: all that a change wants to be written, or none.

use std::{fs, path::Path};

use super::{chain::chain, edits::Edited, timed};
use crate::{
    failpoint::Step,
    policy::store,
    state::{Write, durable},
};

/// Mode of policy files that are new.
const MODE: u32 = 0o640;

impl From<&Edited> for Write {
    fn from(edited: &Edited) -> Self {
        // Only the file of rules that end comes and goes with what is in it.
        let is_kept = |text: &str| !text.is_empty() || !timed::is_called(&edited.path);
        let content = |text: &str| is_kept(text).then(|| text.into());
        Self {
            path: edited.path.clone(),
            before: content(&edited.before),
            after: content(&edited.after),
        }
    }
}

/// Writes all files or none. The error says which one is in the way, and what is left where that is not as it was.
pub(super) fn write_files(writes: &[Write]) -> Result<(), String> {
    for (index, write) in writes.iter().enumerate() {
        if let Err(error) = write_file(write) {
            return Err(match take_back_files(&writes[..index]) {
                None => error,
                Some(left) => format!("{error}; {left}"),
            });
        }
        Step::FileWritten.done();
    }
    if !writes.is_empty() {
        Step::FilesWritten.done();
    }
    Ok(())
}

/// Has the files as they were. Says what is left where that cannot be.
pub(super) fn take_back_files(writes: &[Write]) -> Option<String> {
    let left = writes.iter().rev().filter_map(|write| {
        let back = Write {
            path: write.path.clone(),
            before: write.after.clone(),
            after: write.before.clone(),
        };
        let error = write_file(&back).err()?;
        tracing::error!(file = %write.path.display(), error, "what was not put in force is left in a policy file");
        Some(format!("the edit is left in {}: {error}", write.path.display()))
    });
    let left: Vec<String> = left.collect();
    (!left.is_empty()).then(|| left.join("; "))
}

/// Writes, makes or removes one file. The error says which one is in the way.
pub(super) fn write_file(write: &Write) -> Result<(), String> {
    let path = &write.path;
    match (&write.before, &write.after) {
        (Some(before), Some(after)) => store::replace(path, before, after).map_err(|error| chain(&error)),
        (Some(before), None) => match fs::read_to_string(path) {
            Ok(text) if *text == **before => {
                remove(path).map_err(|error| format!("{} cannot be removed: {error}", path.display()))
            }
            Ok(_) => Err(format!(
                "{} was changed by somebody else in the meantime",
                path.display()
            )),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        },
        (None, Some(_)) if path.exists() => Err(format!("{} has appeared meanwhile", path.display())),
        (None, Some(after)) => durable::replace(path, after.as_bytes(), MODE)
            .map_err(|error| format!("{} cannot be written: {error}", path.display())),
        (None, None) => Ok(()),
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    fs::remove_file(path)?;
    durable::sync_directory(path.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_are_written_or_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        fs::write(at.join("web.toml"), "old\n").expect("ours");
        let write = |name: &str, before: Option<&str>| Write {
            path: at.join(name),
            before: before.map(Into::into),
            after: Some("new\n".into()),
        };
        let content = |name: &str| fs::read_to_string(at.join(name)).ok();
        let wrong = [write("dns.toml", None), write("web.toml", Some("other\n"))];
        write_files(&wrong).expect_err("somebody has changed web.toml");
        assert_eq!(
            (content("dns.toml"), content("web.toml").as_deref()),
            (None, Some("old\n"))
        );
        let right = [write("dns.toml", None), write("web.toml", Some("old\n"))];
        write_files(&right).expect("nothing is in the way");
        assert_eq!(content("dns.toml").as_deref(), Some("new\n"));
        assert_eq!(take_back_files(&right), None);
        assert_eq!(
            (content("dns.toml"), content("web.toml").as_deref()),
            (None, Some("old\n"))
        );
        let left = take_back_files(&right).expect("they are not there any more");
        assert!(left.contains("dns.toml") && left.contains("web.toml"), "{left}");
    }
}
