//! Changes of the policy: reload, and rules added and deleted.

use std::path::{Path, PathBuf};

use super::{
    agent::{Agent, Editor},
    chain::chain,
    commit::{Occasion, changes, commit},
    in_force::InForce,
    kernel::Strictness,
    prepare::{PrepareError, Prepared, files, prepare},
};
use crate::{
    control::protocol::{Changed, Failure, FailureKind, Finding, NewRule, RulePlace},
    diagnostic::{FileId, SourceFile, SourceSet},
    policy::{
        Layer,
        edit::{self, Position},
        store,
    },
    state::{Actor, Cause},
};

/// A policy file before and after an edit.
pub(super) struct Edited {
    pub(super) path: PathBuf,
    pub(super) before: String,
    pub(super) after: String,
}

impl Agent {
    /// Puts the policy files in force, as a whole or not at all.
    pub fn reload(&self, by: &Actor, cause: Cause, why: Option<String>) -> Result<Changed, Failure> {
        let mut editor = self.lock_editor();
        let outcome = self
            .refuse_unconfirmed()
            .and_then(|()| prepare(self.sources_on_disk(), &self.settings).map_err(PrepareError::failure))
            .and_then(|prepared| {
                self.refuse_lock_out(by, &prepared.policy, &prepared.image, &self.in_force())?;
                let occasion = Occasion {
                    by: by.clone(),
                    cause,
                    why,
                };
                self.put_in_force(&mut editor, prepared, &occasion)
            });
        self.record(by, cause, outcome.as_ref().err());
        drop(editor);
        self.look_for_pending();
        outcome
    }

    /// Adds a rule, live and in its file.
    pub fn add_rule(&self, by: &Actor, rule: &NewRule) -> Result<Changed, Failure> {
        self.edit(by, Cause::RuleAdd, rule.why.clone(), |sources| {
            let file = self.file_for(sources, rule.file.as_deref())?;
            let position = match &rule.place {
                RulePlace::End => Position::End,
                RulePlace::Before(name) => Position::Before(name.clone()),
                RulePlace::After(name) => Position::After(name.clone()),
            };
            edited(sources, file, |text| edit::add_rule(text, &rule.rule, &position))
        })
    }

    /// Deletes a rule, live and in its file.
    pub fn delete_rule(&self, by: &Actor, name: &str, why: Option<String>) -> Result<Changed, Failure> {
        self.edit(by, Cause::RuleDelete, why, |sources| {
            let file = edit::file_with_rule(sources, name).ok_or_else(|| no_such_rule(name))?;
            edited(sources, file, |text| {
                edit::delete_rule(text, edit::sentence_name(name))
            })
        })
    }

    /// Edits one policy file and puts the result in force. On failure the file is what it was.
    pub(super) fn edit(
        &self,
        by: &Actor,
        cause: Cause,
        why: Option<String>,
        change: impl FnOnce(&SourceSet) -> Result<Edited, Failure>,
    ) -> Result<Changed, Failure> {
        let mut editor = self.lock_editor();
        let sources = self.sources_on_disk();
        self.refuse_pending_files(&sources)?;
        let edited = change(&sources)?;
        let prepared = prepare(with(&sources, &edited), &self.settings).map_err(|error| {
            let failure = error.failure();
            failure.hint("nothing was changed: the policy would not be right with this edit")
        })?;
        self.refuse_lock_out(by, &prepared.policy, &prepared.image, &self.in_force())?;
        store::replace(&edited.path, &edited.before, &edited.after).map_err(|error| not_written(&error))?;
        let occasion = Occasion {
            by: by.clone(),
            cause,
            why,
        };
        let outcome = self.put_in_force(&mut editor, prepared, &occasion);
        let outcome =
            outcome.map_err(
                |failure| match store::replace(&edited.path, &edited.after, &edited.before) {
                    Ok(()) => failure,
                    Err(error) => {
                        let left = not_written(&error);
                        failure.hint(format!(
                            "the edit is left in {}: {}",
                            edited.path.display(),
                            left.message
                        ))
                    }
                },
            );
        self.record(by, cause, outcome.as_ref().err());
        drop(editor);
        self.look_for_pending();
        outcome.map(|changed| Changed {
            file: Some(edited.path),
            ..changed
        })
    }

    /// An edit would put other changes of the files in force, too.
    pub(super) fn refuse_pending_files(&self, sources: &SourceSet) -> Result<(), Failure> {
        self.refuse_unconfirmed()?;
        if self.in_force().has_files(&files(sources)) {
            return Ok(());
        }
        Err(Failure::new(
                FailureKind::Conflict,
                "the policy files on disk are not the ones in force, so an edit would put other changes in force, too",
            )
            .hint("`fwctl status` names the files; put them in force with `fwctl reload`, or undo their changes"))
    }

    pub(super) fn put_in_force(
        &self,
        editor: &mut Editor,
        prepared: Prepared,
        occasion: &Occasion,
    ) -> Result<Changed, Failure> {
        let before = self.in_force();
        let warnings = prepared.warnings.clone();
        if let Some(unchanged) = unchanged_or(&before, &prepared) {
            return Ok(unchanged);
        }
        let differences = changes(Some(&before.policy), &prepared.policy);
        self.make_room(editor, prepared.image.blocks().len());
        let mut kernel = self.kernel();
        let after = commit(
            editor,
            &mut kernel,
            prepared,
            Some(&before),
            occasion,
            Strictness::Strict,
        )
        .map_err(|error| error.failure())?;
        drop(kernel);
        tracing::info!(
            uid = occasion.by.uid,
            user = occasion.by.user,
            cause = occasion.cause.name(),
            why = occasion.why,
            revision = after.revision.as_ref().map(|revision| revision.number),
            policy = after.hash_text(),
            changes = ?differences,
            "the policy has changed"
        );
        let outcome = report(&after, differences, true, warnings);
        self.set_in_force(after);
        Ok(outcome)
    }

    /// The file that a new rule goes to: the one that is named, else that of the last layer.
    fn file_for(&self, sources: &SourceSet, wanted: Option<&Path>) -> Result<FileId, Failure> {
        if let Some(wanted) = wanted {
            return named_file(sources, wanted);
        }
        let in_force = self.in_force();
        let host = in_force.policy.host.iter().map(|host| Layer::Host(host.clone()));
        let role = Layer::Role(in_force.policy.role.clone());
        host.chain([role, Layer::Base])
            .find_map(|layer| edit::file_of_layer(sources, &layer))
            .ok_or_else(|| Failure::new(FailureKind::NotFound, "no policy file is a layer of this host"))
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
    edit: impl FnOnce(&str) -> Result<String, edit::EditError>,
) -> Result<Edited, Failure> {
    let source = sources.file(file);
    let after = edit(source.text()).map_err(|error| {
        let kind = match &error {
            edit::EditError::NoSuchRule { .. } => FailureKind::NotFound,
            _ => FailureKind::Conflict,
        };
        Failure::new(kind, format!("{}: {error}", source.name()))
    })?;
    Ok(Edited {
        path: PathBuf::from(&**source.name()),
        before: source.text().to_owned(),
        after,
    })
}

/// The sources with the edit in them.
pub(super) fn with(sources: &SourceSet, edited: &Edited) -> SourceSet {
    let is_edited = |name: &str| Path::new(name) == edited.path;
    sources
        .all()
        .map(|(_, source)| {
            if is_edited(source.name()) && source.is_list() {
                SourceFile::list(source.name().clone(), edited.after.as_str())
            } else if is_edited(source.name()) {
                SourceFile::new(source.name().clone(), edited.after.as_str())
            } else {
                source.clone()
            }
        })
        .collect()
}

fn not_written(error: &store::StoreError) -> Failure {
    Failure::new(FailureKind::Failed, chain(error))
}

/// What there is to say where the policy is in force already.
pub(super) fn unchanged_or(before: &InForce, prepared: &Prepared) -> Option<Changed> {
    let same = before.has_files(&prepared.files) && before.hash == Some(prepared.image.hash());
    same.then(|| report(before, Vec::new(), false, prepared.warnings.clone()))
}

pub(super) fn report(
    in_force: &InForce,
    differences: Vec<String>,
    changed: bool,
    warnings: Vec<Finding>,
) -> Changed {
    Changed {
        revision: in_force.revision.as_ref().map_or(0, |revision| revision.number),
        policy_hash: in_force.hash_text(),
        generation: in_force.epoch,
        changed,
        changes: differences,
        file: None,
        warnings,
        confirm: None,
        notes: Vec::new(),
    }
}

/// `name/in` and `name/out` are the halves of the rule `name`.
pub(super) fn no_such_rule(name: &str) -> Failure {
    Failure::new(FailureKind::NotFound, format!("there is no rule `{name}`"))
        .hint("`fwctl rule list` shows the rules in force")
}
