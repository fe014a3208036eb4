//! Rules that end by themselves. They stand in a file of the agent's beside the policy files, and are a part of each
//! revision like those; the kernel side ends them, and the agent takes them out afterwards.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    agent::{Agent, Editor},
    chain::chain,
    change::no_such_rule,
    commit::Occasion,
    edits::{Edited, not_written, with},
    intent::not_begun,
    policy_files::{take_back_files, write_files},
    prepare::{PrepareError, prepare, sources_of},
    report::kernel_failure,
    start::own_actor,
};
use crate::{
    control::protocol::{Changed, Failure, FailureKind, NewRule, RulePlace, TimedRule},
    dataplane::ClockReading,
    diagnostic::{SourceFile, SourceSet},
    policy::{
        edit::{self, Anchor, Position, TimedDraft, sentence_name},
        model::{Rule, Term},
        read_sources,
    },
    settings::Settings,
    state::{Cause, Ends, LONGEST, Write},
};

/// In the state directory.
const FILE: &str = "timed-rules.toml";

const HEADER: &str = "\
# Rules that end by themselves. The agent writes this file: `fwctl rule add … --for 2h`, `fwctl rule delete`.
layer = \"timed\"
";

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
    Failure::new(FailureKind::Conflict, message)
        .hint("`fwctl rule add … --for 2h` adds one, and `fwctl rule delete` ends it early")
}

/// A rule of the file is there until it ends, as it is.
fn not_changed(name: &str) -> Failure {
    let message = format!("`{name}` ends by itself, and is not changed until then");
    Failure::new(FailureKind::Conflict, message).hint(format!(
        "delete it and add it anew: fwctl rule delete {name}, fwctl rule add {name} … --for 2h"
    ))
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

    /// The rules in force that end by themselves, the first to end first.
    pub(super) fn timed_rules(&self) -> Result<Vec<TimedRule>, Failure> {
        let remaining = self.remaining()?;
        let in_force = self.in_force();
        let timed = |rule: &Rule| {
            rule.term.map(|term| TimedRule {
                name: rule.name.to_string(),
                until: term.until,
                seconds_left: remaining.left(term).as_secs(),
            })
        };
        let mut rules: Vec<TimedRule> = in_force.policy.rules.iter().filter_map(timed).collect();
        rules.sort_by_key(|rule| rule.seconds_left);
        Ok(rules)
    }

    /// Refuses to change a rule of the file; names of other rules are left to whoever knows them.
    pub(super) fn refuse_timed(&self, sources: &SourceSet, name: &str) -> Result<(), Failure> {
        let found = edit::file_with_rule(sources, name);
        if found.is_some_and(|file| is_own(sources.file(file), &self.settings)) {
            return Err(not_changed(sentence_name(name)));
        }
        Ok(())
    }

    /// The file with a rule more, which ends so many seconds from `now`.
    pub(super) fn with_timed_rule(
        &self,
        sources: &SourceSet,
        new: &NewRule,
        seconds: u64,
        now: Timestamp,
    ) -> Result<Edited, Failure> {
        if new.file.is_some() {
            let message = "a rule that ends by itself stands beside the policy files, in none of them";
            return Err(Failure::new(FailureKind::BadRequest, message).hint("leave out --file, or --for"));
        }
        let term = term(seconds, now)?;
        let name = &new.rule.name;
        if let Some(file) = edit::file_with_rule(sources, name) {
            let message = format!("{} already has a rule `{name}`", sources.file(file).name());
            return Err(Failure::new(FailureKind::Conflict, message));
        }
        let path = path(&self.settings);
        let mut all = sources.iter();
        let own = all.find(|(_, source)| is_own(source, &self.settings));
        let before = own
            .map(|(_, source)| source.text().to_owned())
            .unwrap_or_default();
        let text = if before.is_empty() { HEADER } else { &before };
        let (position, anchor) = self.place(sources, text, new)?;
        let draft = TimedDraft {
            rule: &new.rule,
            anchor,
            term,
        };
        let after = edit::add_timed_rule(text, &draft, &position)
            .map_err(|error| Failure::new(FailureKind::Conflict, format!("{FILE}: {error}")))?;
        Ok(Edited { path, before, after })
    }

    /// Where in the file, and where among the rules of the policy files.
    fn place(&self, sources: &SourceSet, text: &str, new: &NewRule) -> Result<(Position, Anchor), Failure> {
        let before = |name: &str| RulePlace::Before(name.to_owned());
        let place = match (&new.rule.before, &new.place) {
            (Some(name), RulePlace::End) => before(name),
            (Some(_), _) => {
                let message = "the rule is to stand at two places";
                return Err(Failure::new(FailureKind::BadRequest, message)
                    .hint("say --before, or the place beside a rule"));
            }
            (None, RulePlace::First) => {
                let in_force = self.in_force();
                let first = in_force.policy.rules.first();
                first.map_or(RulePlace::End, |rule| before(sentence_name(&rule.name)))
            }
            (None, place) => place.clone(),
        };
        let (RulePlace::Before(beside) | RulePlace::After(beside)) = &place else {
            return Ok((Position::End, Anchor::Last));
        };
        let beside = sentence_name(beside).to_owned();
        let is_before = matches!(place, RulePlace::Before(_));
        if let Some(anchor) = edit::anchor_of(text, &beside) {
            let position = if is_before {
                Position::Before(beside)
            } else {
                Position::After(beside)
            };
            return Ok((position, anchor));
        }
        if edit::file_with_rule(sources, &beside).is_none() {
            return Err(no_such_rule(&beside));
        }
        // The last one before a rule is the one directly before it, and the first one behind it directly behind.
        Ok(if is_before {
            (Position::End, Anchor::Before(beside))
        } else {
            (Position::First, Anchor::After(beside))
        })
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
        let mut rules = in_force
            .policy
            .rules
            .iter()
            .filter(|rule| rule.term.is_some())
            .peekable();
        if rules.peek().is_none() {
            return Ok(BTreeSet::new());
        }
        let remaining = self.remaining()?;
        Ok(rules
            .filter(|rule| rule.term.is_some_and(|term| remaining.has_ended(term)))
            .map(|rule| sentence_name(&rule.name).to_owned())
            .collect())
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

impl Edited {
    /// Without rules there is no file.
    pub(super) fn settled(mut self, settings: &Settings) -> Self {
        if self.path == path(settings) && edit::rule_count(&self.after) == 0 {
            self.after.clear();
        }
        self
    }
}

/// From now on, for so long.
fn term(seconds: u64, now: Timestamp) -> Result<Term, Failure> {
    let length = Duration::from_secs(seconds);
    if length.is_zero() || length > LONGEST {
        let days = LONGEST.as_secs() / 86_400;
        let message = format!("a rule can hold for 1 second to {days} days");
        return Err(Failure::new(FailureKind::BadRequest, message)
            .hint("without --for it holds for good; `review` says when to look at it again"));
    }
    let since = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let until = SignedDuration::try_from(length).ok();
    let until = until.and_then(|length| since.checked_add(length).ok());
    until
        .map(|until| Term { since, until })
        .ok_or_else(|| Failure::new(FailureKind::BadRequest, "the calendar does not go that far"))
}
