//! Puts a policy in force, for good or until it is confirmed.

use std::{sync::Arc, time::Duration};

use super::{
    agent::{Agent, Editor},
    candidate::{candidate, of_revision},
    change::{log_rules, report, unchanged_or},
    commit::{Occasion, Window, changes, commit_for},
    confirm::Unconfirmed,
    history::read_revision,
    intent::not_begun,
    lockout::Whose,
    policy_files::{take_back_files, write_files},
    prepare::{PrepareError, Prepared, prepare},
};
use crate::{
    control::protocol::{Apply, Changed, Confirm, Failure, FailureKind, Rollback},
    diagnostic::SourceSet,
    state::{Actor, Cause, Write},
};

/// The window where none is named.
const USUAL_WINDOW: Duration = Duration::from_mins(1);

/// The kernel's deadlines are short of this by far; who needs longer wants no window.
const LONGEST_WINDOW: Duration = Duration::from_hours(24);

/// How a policy is put in force.
#[derive(Debug, Clone, Copy)]
struct How {
    confirm: Confirm,
    force: bool,
    require_shadow: bool,
}

impl Agent {
    /// Puts a policy in force: the files on disk, with others in the places of some of them.
    pub fn apply(&self, by: &Actor, request: Apply) -> Result<Changed, Failure> {
        let occasion = Occasion {
            by: by.clone(),
            cause: Cause::Apply,
            why: request.why,
        };
        let how = How {
            confirm: request.confirm,
            force: request.force,
            require_shadow: request.require_shadow,
        };
        self.apply_sources(&occasion, how, |_, sources| {
            candidate(sources, request.files, &self.settings)
        })
    }

    /// Puts a former revision in force again, and its files on disk.
    pub fn rollback(&self, by: &Actor, request: Rollback) -> Result<Changed, Failure> {
        let to = request.to;
        let occasion = Occasion {
            by: by.clone(),
            cause: Cause::Rollback,
            why: Some(request.why.unwrap_or_else(|| format!("back to revision {to}"))),
        };
        let how = How {
            confirm: request.confirm,
            force: request.force,
            require_shadow: false,
        };
        self.apply_sources(&occasion, how, |editor, sources| {
            self.refuse_pending_files(&sources)?;
            let revision = read_revision(editor, to)?;
            of_revision(&sources, &revision.files)
        })
    }

    fn apply_sources(
        &self,
        occasion: &Occasion,
        how: How,
        make: impl FnOnce(&Editor, SourceSet) -> Result<(SourceSet, Vec<Write>), Failure>,
    ) -> Result<Changed, Failure> {
        let mut editor = self.lock_editor();
        let outcome = self.try_apply(&mut editor, occasion, how, make);
        self.record(&occasion.by, occasion.cause, outcome.as_ref().err());
        drop(editor);
        self.look_for_pending();
        outcome
    }

    fn try_apply(
        &self,
        editor: &mut Editor,
        occasion: &Occasion,
        how: How,
        make: impl FnOnce(&Editor, SourceSet) -> Result<(SourceSet, Vec<Write>), Failure>,
    ) -> Result<Changed, Failure> {
        self.refuse_unconfirmed()?;
        self.refuse_first_without_managers()?;
        let by = &occasion.by;
        let window = self.window(by, how.confirm)?;
        if how.force && window.is_none() {
            let message = "force needs a way back: a change that holds at once cuts you for good";
            return Err(Failure::new(FailureKind::BadRequest, message).hint("say --confirm 60s"));
        }
        let (sources, writes) = make(editor, self.sources_on_disk())?;
        let prepared = prepare(sources, &self.settings).map_err(PrepareError::failure)?;
        if how.require_shadow {
            self.require_shadow(&prepared)?;
        }
        if !how.force {
            self.refuse_lock_out(by, &prepared.policy, &prepared.image, &self.in_force())?;
        }
        match window {
            Some(length) => self.apply_for(editor, prepared, occasion, Window { length, writes }),
            None => self.apply_for_good(editor, prepared, occasion, &writes),
        }
    }

    fn window(&self, by: &Actor, confirm: Confirm) -> Result<Option<Duration>, Failure> {
        match confirm {
            Confirm::No => Ok(None),
            Confirm::Auto => Ok(self.is_managed(by)?.then_some(USUAL_WINDOW)),
            Confirm::Within(seconds) => {
                let length = Duration::from_secs(seconds);
                if length.is_zero() || length > LONGEST_WINDOW {
                    let message = format!(
                        "a change can wait for its confirmation for 1 second to {} hours",
                        LONGEST_WINDOW.as_secs() / 3600
                    );
                    return Err(Failure::new(FailureKind::BadRequest, message));
                }
                Ok(Some(length))
            }
        }
    }

    /// Whether somebody manages this host over the network now, whom a change could cut.
    fn is_managed(&self, by: &Actor) -> Result<bool, Failure> {
        let managed = self.managed(by)?;
        Ok(managed.iter().any(|one| one.whose != Whose::Failsafe))
    }

    fn apply_for_good(
        &self,
        editor: &mut Editor,
        prepared: Prepared,
        occasion: &Occasion,
        writes: &[Write],
    ) -> Result<Changed, Failure> {
        let known = self.in_force();
        let known = known.revision.as_ref();
        editor
            .begin(&occasion.by, occasion.cause, writes, known)
            .map_err(|error| not_begun(&error))?;
        let outcome = write_files(writes)
            .map_err(|error| Failure::new(FailureKind::Conflict, error))
            .and_then(|()| {
                let outcome = self.put_in_force(editor, prepared, occasion);
                outcome.map_err(|failure| match take_back_files(writes) {
                    None => failure,
                    Some(left) => failure.hint(left),
                })
            });
        editor.end();
        outcome
    }

    fn apply_for(
        &self,
        editor: &mut Editor,
        prepared: Prepared,
        occasion: &Occasion,
        window: Window,
    ) -> Result<Changed, Failure> {
        let before = self.in_force();
        let warnings = prepared.warnings.clone();
        if let Some(unchanged) = unchanged_or(&before, &prepared) {
            return Ok(unchanged);
        }
        let differences = changes(Some(&before), &prepared);
        self.make_room(editor, prepared.image.blocks().len());
        editor
            .begin(&occasion.by, occasion.cause, &[], None)
            .map_err(|error| not_begun(&error))?;
        let mut kernel = self.kernel();
        let length = window.length;
        let committed = commit_for(editor, &mut kernel, prepared, &before, occasion, window);
        drop(kernel);
        editor.end();
        let (after, record) = committed.map_err(|error| error.failure())?;
        tracing::warn!(
            uid = occasion.by.uid,
            user = occasion.by.user,
            why = occasion.why,
            revision = record.revision,
            fallback = record.fallback,
            seconds = record.window_seconds,
            changes = ?differences,
            generation = after.epoch,
            "a change is in force until it is confirmed"
        );
        log_rules(&differences, occasion, Some(record.revision));
        let outcome = report(&after, differences, true, warnings);
        self.set_in_force(after);
        let unconfirmed = Unconfirmed {
            record,
            before: Arc::clone(&before),
        };
        let confirm = Some(unconfirmed.status(length));
        self.set_unconfirmed(Some(unconfirmed));
        *self.ended() = None;
        Ok(Changed { confirm, ..outcome })
    }
}
