//! Edits that are written back: live and in the policy files, together or not at all.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{
    agent::Agent,
    change::{no_such_rule, no_such_rule_among},
    commit::Occasion,
    intent::not_begun,
    lists::{add_lines, delete_lines},
    policy_files::{take_back_files, write_files},
    prepare::prepare,
    timed_edits::not_beside_timed,
};
use crate::{
    calendar,
    control::protocol::{Changed, Edit, Edits, Failure, FailureKind, LineEdit, NewRule, RulePlace},
    diagnostic::{FileId, SourceFile, SourceSet},
    policy::{
        Layer,
        edit::{self, EditError, Position},
        list,
    },
    state::{Actor, Cause, Write},
};

/// A policy file before and after an edit.
#[derive(Debug, Clone)]
pub(super) struct Edited {
    pub(super) path: PathBuf,
    pub(super) before: String,
    pub(super) after: String,
}

impl Edited {
    /// Whether there is no file any more.
    fn is_gone(&self) -> bool {
        self.after.is_empty() && !self.before.is_empty()
    }
}

impl Agent {
    /// Makes all of these edits or none.
    pub fn edit(&self, by: &Actor, edits: &Edits) -> Result<Changed, Failure> {
        let now = calendar::now();
        let changed = self.edit_files(by, cause(&edits.edits)?, edits.why.clone(), |sources| {
            self.make_edits(sources, &edits.edits, now)
        })?;
        self.note_ends();
        Ok(changed)
    }

    /// Adds a rule, live and in its file.
    pub fn add_rule(&self, by: &Actor, rule: &NewRule) -> Result<Changed, Failure> {
        self.edit(by, &one(Edit::RuleAdd(Box::new(rule.clone())), rule.why.clone()))
    }

    /// Deletes a rule, live and in its file.
    pub fn delete_rule(&self, by: &Actor, name: &str, why: Option<String>) -> Result<Changed, Failure> {
        let name = name.to_owned();
        self.edit(by, &one(Edit::RuleDelete { name }, why))
    }

    /// Edits policy files and puts the result in force. On failure the files are what they were.
    pub(super) fn edit_files(
        &self,
        by: &Actor,
        cause: Cause,
        why: Option<String>,
        change: impl Fn(&SourceSet) -> Result<Vec<Edited>, Failure>,
    ) -> Result<Changed, Failure> {
        let mut editor = self.lock_editor();
        let sources = self.sources_on_disk();
        self.refuse_changed_files(&editor, &sources, &change)?;
        let edited = change(&sources)?;
        let wanted = edited
            .iter()
            .fold(sources, |sources, edited| with(&sources, edited));
        let prepared = prepare(wanted, &self.settings).map_err(|error| {
            let failure = error.failure();
            failure.hint("nothing was changed: the policy would not be right with this edit")
        })?;
        self.refuse_lock_out(by, &prepared.policy, &prepared.image, &self.in_force())?;
        let writes: Vec<Write> = edited.iter().map(Write::from).collect();
        editor
            .begin(by, cause, &writes, self.in_force().revision.as_ref())
            .map_err(|error| not_begun(&error))?;
        let occasion = Occasion {
            by: by.clone(),
            cause,
            why,
        };
        let outcome = write_files(&writes).map_err(not_written).and_then(|()| {
            let outcome = self.put_in_force(&mut editor, prepared, &occasion);
            outcome.map_err(|failure| match take_back_files(&writes) {
                None => failure,
                Some(left) => failure.hint(left),
            })
        });
        editor.end();
        self.record(by, cause, outcome.as_ref().err());
        drop(editor);
        self.look_for_pending();
        outcome.map(|changed| Changed {
            files: edited.into_iter().map(|edited| edited.path).collect(),
            ..changed
        })
    }

    /// The files that the edits change. Everything that is wrong is told of at once, by line.
    fn make_edits(
        &self,
        sources: &SourceSet,
        edits: &[LineEdit],
        now: Timestamp,
    ) -> Result<Vec<Edited>, Failure> {
        let mut current = sources.clone();
        let mut changed: Vec<Edited> = Vec::new();
        let mut failures = Vec::new();
        for edit in edits {
            match self.make_edit(&current, &edit.edit, now) {
                Ok(edited) => {
                    current = with(&current, &edited);
                    match changed.iter_mut().find(|known| known.path == edited.path) {
                        Some(known) => known.after = edited.after,
                        None => changed.push(edited),
                    }
                }
                // A command of two edits fails at both for one reason.
                Err(failure) if failures.contains(&(edit.line, failure.clone())) => {}
                Err(failure) => failures.push((edit.line, failure)),
            }
        }
        if !failures.is_empty() {
            return Err(all_of(failures));
        }
        changed.retain(|edited| edited.before != edited.after);
        Ok(changed)
    }

    fn make_edit(&self, sources: &SourceSet, edit: &Edit, now: Timestamp) -> Result<Edited, Failure> {
        if let Some(edited) = self.timed_edit(sources, edit, now)? {
            return Ok(edited);
        }
        match edit {
            Edit::RuleAdd(new) => {
                if let Some(seconds) = new.seconds {
                    return self.with_timed_rule(sources, new, seconds, now);
                }
                not_beside_timed(sources, &self.settings, &new.place)?;
                let file = self.file_for_new(sources, new)?;
                let position = position(&new.place);
                edited(sources, file, |text| edit::add_rule(text, &new.rule, &position))
            }
            Edit::RuleReplace(rule) => {
                let file = file_with(sources, &rule.name)?;
                edited(sources, file, |text| edit::replace_rule(text, rule))
            }
            Edit::RuleMove { name, place } => {
                not_beside_timed(sources, &self.settings, place)?;
                let (file, position) = (file_with(sources, name)?, position(place));
                let moved = edited(sources, file, |text| {
                    edit::move_rule(text, edit::sentence_name(name), &position)
                });
                moved.map_err(|failure| other_file(sources, file, place, failure))
            }
            // It is of a rule that ends by itself, or was refused above.
            Edit::RuleTerm { name, .. } => Err(no_such_rule(name)),
            Edit::RuleEnable { name } => switched(sources, name, true),
            Edit::RuleDisable { name } => switched(sources, name, false),
            Edit::RuleDelete { name } => {
                let file = file_with(sources, name)?;
                let edited = edited(sources, file, |text| {
                    edit::delete_rule(text, edit::sentence_name(name))
                })?;
                Ok(edited.settled(&self.settings))
            }
            Edit::SetAdd { name, entries } => {
                self.list_edited(sources, name, |text| add_lines(text, entries))
            }
            Edit::SetDelete { name, entries } => {
                self.list_edited(sources, name, |text| delete_lines(name, text, entries))
            }
        }
    }

    /// The file that a new rule goes to: the one that is named, else that of the rule that it stands beside, else that of
    /// the last layer.
    fn file_for_new(&self, sources: &SourceSet, new: &NewRule) -> Result<FileId, Failure> {
        match (&new.file, &new.place) {
            (Some(wanted), _) => named_file(sources, wanted),
            (None, RulePlace::Before(name) | RulePlace::After(name)) => file_with(sources, name),
            (None, RulePlace::First | RulePlace::End) => self.last_layer(sources),
        }
    }

    fn last_layer(&self, sources: &SourceSet) -> Result<FileId, Failure> {
        let in_force = self.in_force();
        let host = in_force.policy.host.iter().map(|host| Layer::Host(host.clone()));
        let role = Layer::Role(in_force.policy.role.clone());
        host.chain([role, Layer::Base])
            .find_map(|layer| edit::file_of_layer(sources, &layer))
            .ok_or_else(|| Failure::new(FailureKind::NotFound, "no policy file is a layer of this host"))
    }

    fn list_edited(
        &self,
        sources: &SourceSet,
        name: &str,
        change: impl FnOnce(&str) -> Result<String, Failure>,
    ) -> Result<Edited, Failure> {
        let path = self.list_path(name)?;
        let mut lists = sources.lists();
        let list = lists.find(|(_, source)| Path::new(&**source.name()) == path);
        let (_, source) = list.ok_or_else(|| super::lists::no_such_list(name))?;
        let after = change(source.text())?;
        if let Err(faults) = list::parse(&after) {
            let first = faults.first().map(|fault| fault.message.clone());
            return Err(Failure::new(FailureKind::Policy, first.unwrap_or_default()));
        }
        Ok(Edited {
            path,
            before: source.text().to_owned(),
            after,
        })
    }
}

fn one(edit: Edit, why: Option<String>) -> Edits {
    Edits {
        edits: vec![LineEdit { line: None, edit }],
        why,
    }
}

/// Several edits have a word of their own, unless all but one say for how long the rule of that one is to hold.
fn cause(edits: &[LineEdit]) -> Result<Cause, Failure> {
    if edits.is_empty() {
        return Err(Failure::new(FailureKind::BadRequest, "there is nothing to edit"));
    }
    let mut others = edits
        .iter()
        .filter(|line| !matches!(line.edit, Edit::RuleTerm { .. }));
    Ok(match (others.next(), others.next()) {
        (Some(one), None) => cause_of(&one.edit),
        _ => Cause::Edit,
    })
}

const fn cause_of(edit: &Edit) -> Cause {
    match edit {
        Edit::RuleAdd(_) => Cause::RuleAdd,
        Edit::RuleTerm { .. } => Cause::Edit,
        Edit::RuleReplace(_) => Cause::RuleReplace,
        Edit::RuleMove { .. } => Cause::RuleMove,
        Edit::RuleEnable { .. } => Cause::RuleEnable,
        Edit::RuleDisable { .. } => Cause::RuleDisable,
        Edit::RuleDelete { .. } => Cause::RuleDelete,
        Edit::SetAdd { .. } => Cause::SetAdd,
        Edit::SetDelete { .. } => Cause::SetDelete,
    }
}

fn position(place: &RulePlace) -> Position {
    match place {
        RulePlace::End => Position::End,
        RulePlace::First => Position::First,
        RulePlace::Before(name) => Position::Before(edit::sentence_name(name).to_owned()),
        RulePlace::After(name) => Position::After(edit::sentence_name(name).to_owned()),
    }
}

fn switched(sources: &SourceSet, name: &str, enabled: bool) -> Result<Edited, Failure> {
    let file = file_with(sources, name)?;
    edited(sources, file, |text| {
        edit::enable_rule(text, edit::sentence_name(name), enabled)
    })
}

fn file_with(sources: &SourceSet, name: &str) -> Result<FileId, Failure> {
    edit::file_with_rule(sources, name).ok_or_else(|| {
        let known = edit::rule_names(sources);
        no_such_rule_among(name, known.iter().map(|name| &**name))
    })
}

/// A rule moves within its file: layers come in an order of their own.
fn other_file(sources: &SourceSet, file: FileId, place: &RulePlace, failure: Failure) -> Failure {
    let (RulePlace::Before(name) | RulePlace::After(name)) = place else {
        return failure;
    };
    match edit::file_with_rule(sources, name) {
        Some(other) if other != file => failure.hint(format!(
            "`{name}` stands in {}: a rule moves within its file, and the layers base, role and host come in this \
             order; the key `before` of a rule has it tried before one of an earlier layer",
            sources.file(other).name()
        )),
        _ => failure,
    }
}

/// A file may be named by its path, or by its name alone.
fn named_file(sources: &SourceSet, wanted: &Path) -> Result<FileId, Failure> {
    let is_wanted =
        |name: &str| Path::new(name) == wanted || Path::new(name).file_name() == Some(wanted.as_os_str());
    let mut files = sources.iter();
    let found = files
        .find(|(_, source)| is_wanted(source.name()))
        .map(|(file, _)| file);
    found.ok_or_else(|| {
        let names: Vec<&str> = sources.iter().map(|(_, source)| &**source.name()).collect();
        let message = format!("{} is not one of the policy files", wanted.display());
        Failure::new(FailureKind::NotFound, message)
            .hint(format!("the policy files are {}", names.join(", ")))
    })
}

fn edited(
    sources: &SourceSet,
    file: FileId,
    edit: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<Edited, Failure> {
    let source = sources.file(file);
    let after = edit(source.text()).map_err(|error| refused(&error, source.name()))?;
    Ok(Edited {
        path: PathBuf::from(&**source.name()),
        before: source.text().to_owned(),
        after,
    })
}

/// For the operator, where a file cannot be edited in this way.
pub(super) fn refused(error: &EditError, file: &str) -> Failure {
    let kind = match error {
        EditError::NoSuchRule { .. } => FailureKind::NotFound,
        _ => FailureKind::Conflict,
    };
    Failure::new(kind, format!("{file}: {error}"))
}

/// The sources with the edit in them.
pub(super) fn with(sources: &SourceSet, edited: &Edited) -> SourceSet {
    let is_edited = |name: &str| Path::new(name) == edited.path;
    let is_new = sources.all().all(|(_, source)| !is_edited(source.name()));
    let new = is_new.then(|| SourceFile::new(edited.path.to_string_lossy(), edited.after.as_str()));
    let is_gone = |source: &SourceFile| is_edited(source.name()) && edited.is_gone() && !source.is_list();
    let files = sources
        .all()
        .filter(|(_, source)| !is_gone(source))
        .map(|(_, source)| {
            if is_edited(source.name()) && source.is_list() {
                SourceFile::list(source.name().clone(), edited.after.as_str())
            } else if is_edited(source.name()) {
                SourceFile::new(source.name().clone(), edited.after.as_str())
            } else {
                source.clone()
            }
        });
    new.into_iter().chain(files).collect()
}

/// Several lines that cannot be done are one failure.
fn all_of(mut failures: Vec<(Option<u32>, Failure)>) -> Failure {
    if let [(None, _)] = failures.as_slice()
        && let Some((_, failure)) = failures.pop()
    {
        return failure;
    }
    let kind = failures
        .first()
        .map_or(FailureKind::BadRequest, |(_, failure)| failure.kind);
    let lines = failures.iter().map(|(line, failure)| match line {
        Some(line) => format!("line {line}: {}", failure.message),
        None => failure.message.clone(),
    });
    let message = lines.collect::<Vec<_>>().join("\n");
    Failure::new(kind, message)
        .hint("nothing was changed: edits of one batch are made together or not at all")
}

/// For the operator, where a policy file cannot be written.
pub(super) fn not_written(error: String) -> Failure {
    Failure::new(FailureKind::Failed, error).hint("what was in force stays in force")
}
