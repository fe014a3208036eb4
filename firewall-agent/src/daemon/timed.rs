//! Rules that end by themselves. They stand in a file of the agent's beside the policy files, and are a part of each
//! revision like those; the kernel side ends them, and the agent takes them out afterwards.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    agent::{Agent, Editor},
    chain::chain,
    commit::Occasion,
    edits::{Edited, not_written, with},
    in_force::InForce,
    intent::not_begun,
    policy_files::{take_back_files, write_files},
    prepare::{PrepareError, prepare, sources_of},
    report::kernel_failure,
    start::own_actor,
};
use crate::{
    control::protocol::{Changed, Failure, FailureKind, TimedRule},
    dataplane::ClockReading,
    diagnostic::{SourceFile, SourceSet},
    policy::{
        edit::{self, TimedEntry, sentence_name},
        model::Term,
        read_sources,
    },
    settings::Settings,
    state::{Cause, Ends, Write},
};

/// In the state directory.
pub(super) const FILE: &str = "timed-rules.toml";

/// The file.
pub(super) fn path(settings: &Settings) -> PathBuf {
    settings.state_dir.join(FILE)
}

/// Whether a file of this name is the one.
pub(super) fn is_called(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FILE)
}

/// Whether a source is the file.
pub(super) fn is_own(source: &SourceFile, settings: &Settings) -> bool {
    Path::new(&**source.name()) == path(settings)
}

/// The policy files as they are on disk, and the file where there is one: first, since further lists come last.
pub(super) fn sources(settings: &Settings) -> SourceSet {
    let files = read_sources(&settings.policy);
    let path = path(settings);
    let name = path.to_string_lossy();
    let own = match fs::read_to_string(&path) {
        Ok(text) => SourceFile::new(name, text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return files,
        Err(error) => SourceFile::unreadable(name, error.to_string()),
    };
    let files = files.all().map(|(_, source)| source.clone());
    std::iter::once(own).chain(files).collect()
}

/// The file is the agent's.
pub(super) fn not_by_hand(path: &Path) -> Failure {
    let message = format!(
        "{} is the agent's file of rules that end by themselves",
        path.display()
    );
    Failure::new(FailureKind::Conflict, message).hint(
        "`fwctl rule add … --for 2h` adds one; the other commands of `fwctl rule` change it, or end it early",
    )
}

/// The rules of the file that are switched off: no part of the policy.
fn disabled_entries(in_force: &InForce) -> Vec<TimedEntry> {
    let mut files = in_force.files.iter();
    let own = files.find(|file| is_called(&file.path));
    let text = own.and_then(|file| file.policy_text()).unwrap_or_default();
    let entries = edit::timed_entries(text).into_iter();
    entries.filter(|entry| !entry.enabled).collect()
}

/// How long they are to hold.
pub(super) fn disabled_terms(in_force: &InForce) -> Vec<Term> {
    let entries = disabled_entries(in_force).into_iter();
    entries.map(|entry| entry.term).collect()
}

/// How much time rules have left, at a moment.
#[derive(Debug)]
pub(super) struct Remaining {
    ends: Ends,
    clock: ClockReading,
}

impl Remaining {
    pub(super) fn left(&self, term: Term) -> Duration {
        self.ends.left(term, &self.clock)
    }

    pub(super) fn has_ended(&self, term: Term) -> bool {
        self.left(term).is_zero()
    }
}

impl Agent {
    /// How much time rules have left now.
    pub(super) fn remaining(&self) -> Result<Remaining, Failure> {
        let kernel = self.kernel();
        let clock = kernel.dataplane.clock().map_err(|error| kernel_failure(&error))?;
        let ends = kernel.ends.clone();
        Ok(Remaining { ends, clock })
    }

    /// The rules that end by themselves, the first to end first; those that are switched off among them.
    pub(super) fn timed_rules(&self) -> Result<Vec<TimedRule>, Failure> {
        let remaining = self.remaining()?;
        let in_force = self.in_force();
        let timed = |name: String, term: Term, disabled| TimedRule {
            name,
            until: term.until,
            seconds_left: remaining.left(term).as_secs(),
            disabled,
        };
        let rules = in_force.policy.rules.iter();
        let rules = rules.filter_map(|rule| Some(timed(rule.name.to_string(), rule.term?, false)));
        let disabled = disabled_entries(&in_force).into_iter();
        let disabled = disabled.map(|entry| timed(entry.name, entry.term, true));
        let mut rules: Vec<TimedRule> = rules.chain(disabled).collect();
        rules.sort_by_key(|rule| rule.seconds_left);
        Ok(rules)
    }

    /// Takes rules out that have ended. The kernel side has not asked them since.
    pub fn forget_ended_rules(&self) {
        let ended = match self.ended_rules() {
            Ok(ended) if ended.is_empty() => return,
            Ok(ended) => ended,
            Err(failure) => {
                tracing::warn!("it cannot be told whether rules have ended: {}", failure.message);
                return;
            }
        };
        let mut editor = self.lock_editor();
        // A change that waits for its confirmation may be taken back, and then nothing must have changed beneath it.
        if self.unconfirmed().is_some() {
            return;
        }
        let outcome = self.take_out(&mut editor, &ended);
        drop(editor);
        match outcome {
            Ok(changed) => tracing::info!(rules = ?ended, revision = changed.revision, "rules have ended"),
            Err(failure) => {
                tracing::warn!(rules = ?ended, "rules have ended and are still listed: {}", failure.message);
            }
        }
        self.look_for_pending();
    }

    fn ended_rules(&self) -> Result<BTreeSet<String>, Failure> {
        let in_force = self.in_force();
        let disabled = disabled_entries(&in_force).into_iter();
        let disabled = disabled.map(|entry| (entry.name, entry.term));
        let rules = in_force.policy.rules.iter();
        let rules = rules.filter_map(|rule| Some((sentence_name(&rule.name).to_owned(), rule.term?)));
        let mut timed = rules.chain(disabled).peekable();
        if timed.peek().is_none() {
            return Ok(BTreeSet::new());
        }
        let remaining = self.remaining()?;
        let ended = timed.filter(|(_, term)| remaining.has_ended(*term));
        Ok(ended.map(|(name, _)| name).collect())
    }

    /// Puts the revision in force without some rules of the file, whatever is on disk meanwhile.
    fn take_out(&self, editor: &mut Editor, ended: &BTreeSet<String>) -> Result<Changed, Failure> {
        let failed = |message: String| Failure::new(FailureKind::Failed, message);
        let number = self.in_force().revision.as_ref().map(|revision| revision.number);
        let number = number.ok_or_else(|| failed("no revision is in force".to_owned()))?;
        let revision = editor
            .revisions
            .read(number)
            .map_err(|error| failed(chain(&error)))?;
        let sources = sources_of(&revision.files);
        let path = path(&self.settings);
        let mut all = sources.iter();
        let own = all.find(|(_, source)| is_own(source, &self.settings));
        let before = own
            .map(|(_, source)| source.text().to_owned())
            .unwrap_or_default();
        let mut after = before.clone();
        for name in ended {
            match edit::delete_rule(&after, name) {
                Ok(text) => after = text,
                // Another change has taken it out.
                Err(edit::EditError::NoSuchRule { .. }) => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        let edited = Edited { path, before, after }.settled(&self.settings);
        let prepared = prepare(with(&sources, &edited), &self.settings).map_err(PrepareError::failure)?;
        let names: Vec<&str> = ended.iter().map(String::as_str).collect();
        let occasion = Occasion {
            by: own_actor(),
            cause: Cause::RuleEnd,
            why: Some(format!("the time of {} is over", names.join(", "))),
        };
        let writes = [Write::from(&edited)];
        editor
            .begin(&occasion.by, occasion.cause, &writes, Some(&revision.manifest))
            .map_err(|error| not_begun(&error))?;
        let outcome = write_files(&writes).map_err(not_written).and_then(|()| {
            let outcome = self.put_in_force(editor, prepared, &occasion);
            outcome.inspect_err(|_| drop(take_back_files(&writes)))
        });
        editor.end();
        outcome
    }
}
