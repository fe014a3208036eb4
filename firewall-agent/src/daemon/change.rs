//! Puts policy files in force.

use super::{
    agent::{Agent, Editor},
    commit::{Occasion, changes, commit},
    in_force::InForce,
    intent::not_begun,
    kernel::Strictness,
    prepare::{PrepareError, Prepared, files, prepare},
};
use crate::{
    control::protocol::{Changed, Failure, FailureKind, Finding},
    diagnostic::SourceSet,
    policy::{edit::sentence_name, nearest},
    state::{Actor, Cause},
};

impl Agent {
    /// Puts the policy files in force, as a whole or not at all.
    pub fn reload(&self, by: &Actor, cause: Cause, why: Option<String>) -> Result<Changed, Failure> {
        let mut editor = self.lock_editor();
        let outcome = self
            .refuse_unconfirmed()
            .and_then(|()| self.refuse_first_without_managers())
            .and_then(|()| prepare(self.sources_on_disk(), &self.settings).map_err(PrepareError::failure))
            .and_then(|prepared| {
                self.refuse_lock_out(by, &prepared.policy, &prepared.image, &self.in_force())?;
                let occasion = Occasion {
                    by: by.clone(),
                    cause,
                    why,
                };
                editor
                    .begin(by, cause, &[], None)
                    .map_err(|error| not_begun(&error))?;
                let outcome = self.put_in_force(&mut editor, prepared, &occasion);
                editor.end();
                outcome
            });
        self.record(by, cause, outcome.as_ref().err());
        drop(editor);
        self.look_for_pending();
        outcome
    }

    /// An edit would put other changes of the files in force, too.
    pub(super) fn refuse_pending_files(&self, sources: &SourceSet) -> Result<(), Failure> {
        self.refuse_unconfirmed()?;
        self.refuse_nothing_filtered()?;
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
        let differences = changes(Some(&before), &prepared);
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
            generation = after.epoch,
            "the policy has changed"
        );
        log_rules(
            &differences,
            occasion,
            after.revision.as_ref().map(|revision| revision.number),
        );
        let outcome = report(&after, differences, true, warnings);
        self.follow_history(editor);
        self.set_in_force(after);
        Ok(outcome)
    }
}

/// Most rules of one change that have a line each in the log.
const RULES_LOGGED: usize = 100;

/// A line for each rule that a change concerns, so that the journal knows it by the rule's name.
pub(super) fn log_rules(differences: &[String], occasion: &Occasion, revision: Option<u64>) {
    let of_rules = differences.iter().filter_map(|line| line.split_once(" rule "));
    for (change, said) in of_rules.take(RULES_LOGGED) {
        // Behind the name may stand when the rule ends.
        let rule = said.split(' ').next().unwrap_or(said);
        tracing::info!(
            uid = occasion.by.uid,
            user = occasion.by.user,
            cause = occasion.cause.name(),
            revision,
            rule,
            change,
            "{change} rule {said}"
        );
    }
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
        files: Vec::new(),
        warnings,
        confirm: None,
        notes: Vec::new(),
    }
}

/// `name/in` and `name/out` are the halves of the rule `name`.
pub(super) fn no_such_rule(name: &str) -> Failure {
    no_such_rule_among(name, [])
}

/// The same, with the name that may be meant.
pub(super) fn no_such_rule_among<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    let near = nearest(sentence_name(name), known.into_iter().map(sentence_name));
    let meant = near
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    Failure::new(FailureKind::NotFound, format!("there is no rule `{name}`{meant}"))
        .hint("`fwctl rule list` shows the rules in force")
}
