//! A change that waits for its confirmation, and its end: confirmed, taken back, or too late.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    agent::{Agent, Editor},
    chain::chain,
    change,
    commit::{clear_pending, detach_unwanted, discard},
    in_force::InForce,
    policy_files::write_files,
};
use crate::{
    calendar,
    control::protocol::{Changed, ConfirmStatus, Failure, FailureKind},
    failpoint::Step,
    state::{Actor, Pending},
};

/// The change in force, while it waits.
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    pub(super) record: Pending,
    /// What comes back without a confirmation.
    pub(super) before: Arc<InForce>,
}

/// Why a change that waited is not in force any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody has confirmed it in time.
    Late,
    /// An operator has taken it back.
    Cancelled,
    /// The machine or the agent ended before anybody had.
    Interrupted,
}

/// A change that was not confirmed.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) revision: u64,
    pub(super) why: Why,
    pub(super) at: Timestamp,
    pub(super) window_seconds: u64,
}

impl Unconfirmed {
    /// For people and programs.
    pub(crate) fn status(&self, left: Duration) -> ConfirmStatus {
        let record = &self.record;
        ConfirmStatus {
            revision: record.revision,
            fallback: record.fallback,
            by: record.by.clone(),
            why: record.why.clone(),
            since: record.since,
            deadline: record.deadline,
            seconds_left: left.as_secs(),
        }
    }

    /// What comes back, in words.
    fn comes_back(&self) -> String {
        in_words(self.record.fallback)
    }
}

/// What is in force, in words.
fn in_words(revision: Option<u64>) -> String {
    revision.map_or_else(
        || "what was in force before".to_owned(),
        |revision| format!("revision {revision}"),
    )
}

impl Agent {
    /// Makes the change that waits one for good.
    pub fn confirm(&self, by: &Actor) -> Result<Changed, Failure> {
        let mut editor = self.lock_editor();
        let Some(waiting) = self.unconfirmed() else {
            return Err(self.nothing_to_confirm());
        };
        let revision = waiting.record.revision;
        let former = editor.revisions.current();
        let failed = |message: String| {
            Failure::new(FailureKind::Failed, message)
                .hint("the change still waits; look at the state directory, then confirm again")
        };
        editor
            .begin(by, waiting.record.cause, &waiting.record.writes, None)
            .map_err(|error| failed(chain(&error)))?;
        // From here on a restart would put it in force, too.
        let made_current = editor.revisions.confirm(revision);
        if let Err(error) = made_current {
            editor.end();
            return Err(failed(chain(&error)));
        }
        Step::RevisionCounts.done();
        let mut kernel = self.kernel();
        if let Err(error) = kernel.keep() {
            let failure = failed(error.to_string());
            if let Err(error) = editor.revisions.take_back(former) {
                tracing::error!(%error, revision, "the revision counts as confirmed, and is not");
            }
            editor.end();
            return Err(failure);
        }
        detach_unwanted(&mut kernel);
        drop(kernel);
        clear_pending(&editor);
        if let Some(manifest) = &self.in_force().revision {
            editor.record_revision(manifest, Some(by));
        }
        self.follow_history(&editor);
        self.set_unconfirmed(None);
        *self.ended() = None;
        let notes: Vec<String> = write_files(&waiting.record.writes)
            .err()
            .map(|error| format!("the change is in force for good, but {error}"))
            .into_iter()
            .collect();
        for note in &notes {
            tracing::error!("{note}");
        }
        editor.end();
        tracing::info!(uid = by.uid, user = by.user, revision, "the change was confirmed");
        drop(editor);
        self.look_for_pending();
        let in_force = self.in_force();
        Ok(Changed {
            notes,
            ..change::report(&in_force, Vec::new(), true, Vec::new())
        })
    }

    /// Goes back to what was in force before the change that waits.
    pub fn cancel(&self, by: &Actor) -> Result<Changed, Failure> {
        let mut editor = self.lock_editor();
        if self.unconfirmed().is_none() {
            return Err(self.nothing_to_confirm());
        }
        self.go_back(&mut editor, Why::Cancelled, by)?;
        drop(editor);
        self.look_for_pending();
        Ok(change::report(&self.in_force(), Vec::new(), true, Vec::new()))
    }

    /// Refuses a change while another one waits.
    pub(super) fn refuse_unconfirmed(&self) -> Result<(), Failure> {
        let Some(waiting) = self.unconfirmed() else {
            return Ok(());
        };
        let message = format!(
            "revision {} of {} waits for its confirmation until {:.0}",
            waiting.record.revision,
            waiting.record.by.describe(),
            waiting.record.deadline
        );
        Err(Failure::new(FailureKind::Conflict, message).hint(format!(
            "`fwctl confirm` keeps it, `fwctl cancel` goes back to {}; then try again",
            waiting.comes_back()
        )))
    }

    fn nothing_to_confirm(&self) -> Failure {
        let in_force = in_words(self.in_force().revision.as_ref().map(|revision| revision.number));
        let failure = |message: String| Failure::new(FailureKind::Conflict, message);
        match &*self.ended() {
            Some(ended) if ended.why == Why::Late => failure(format!(
                "too late: nobody has confirmed revision {} within {} s, and {in_force} is in force again since {:.0}",
                ended.revision, ended.window_seconds, ended.at
            ))
            .hint("`fwctl apply` puts the change in force once more"),
            Some(ended) if ended.why == Why::Interrupted => failure(format!(
                "revision {} was taken back, since the agent or the machine ended before it was confirmed; \
                 {in_force} is in force",
                ended.revision
            ))
            .hint("`fwctl apply` puts the change in force once more"),
            Some(ended) => failure(format!(
                "revision {} was taken back at {:.0}, and {in_force} is in force",
                ended.revision, ended.at
            )),
            None => failure(format!("no change waits for a confirmation; {in_force} is in force")),
        }
    }

    /// Does what the end of the window has brought about, should it be over. The kernel side has done it already.
    pub(super) fn end_window_if_over(&self, editor: &mut Editor) {
        if self.unconfirmed().is_none() {
            return;
        }
        let left = self.kernel().time_left();
        match left {
            Ok(Some(left)) if !left.is_zero() => {}
            Ok(_) => {
                if let Err(failure) = self.go_back(editor, Why::Late, &super::start::own_actor()) {
                    tracing::error!("{}", failure.message);
                }
            }
            Err(error) => tracing::error!(%error, "it cannot be told whether a change still waits"),
        }
    }

    /// Looks whether the window of a change is over, unless somebody else is about to.
    pub(crate) fn follow_deadline(&self) {
        if self.unconfirmed().is_none() {
            return;
        }
        if let Ok(mut editor) = self.editor.try_lock() {
            self.end_window_if_over(&mut editor);
        }
    }

    pub(super) fn go_back(&self, editor: &mut Editor, why: Why, by: &Actor) -> Result<(), Failure> {
        let Some(waiting) = self.unconfirmed() else {
            return Ok(());
        };
        let (detached, epoch) = self.kernel().go_back().map_err(|error| {
            Failure::new(
                FailureKind::Failed,
                format!("the change cannot be taken back: {error}"),
            )
            .hint("the kernel side goes back by itself at the end of the window")
        })?;
        self.set_in_force(match epoch {
            Some(epoch) => Arc::new(waiting.before.with_epoch(epoch)),
            None => waiting.before.clone(),
        });
        clear_pending(editor);
        discard(editor, waiting.record.revision);
        self.set_unconfirmed(None);
        *self.ended() = Some(Ended {
            revision: waiting.record.revision,
            why,
            at: calendar::now(),
            window_seconds: waiting.record.window_seconds,
        });
        let revision = waiting.record.revision;
        let in_force = waiting.comes_back();
        if why == Why::Late {
            self.with_health(|health| health.confirms_expired += 1);
            tracing::warn!(
                revision,
                ?detached,
                "nobody has confirmed the change in time: {in_force} is in force again"
            );
        } else {
            tracing::warn!(
                uid = by.uid,
                user = by.user,
                revision,
                ?detached,
                "the change was taken back: {in_force} is in force again"
            );
        }
        // What the former policy names and the change did not.
        if let Err(error) = self.kernel().follow_network() {
            tracing::error!(%error, "the network could not be looked at");
        }
        Ok(())
    }
}
