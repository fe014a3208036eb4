//! A start finds a change that waited for its confirmation.

use std::sync::Arc;

use firewall_common::cell::reached;

use super::{
    agent::Editor,
    commit::{CommitError, assign_both, clear_pending, discard},
    confirm::{Ended, Unconfirmed, Why},
    first::waits_for_an_operator,
    in_force::{CounterUse, InForce},
    prepare::{prepare, prepare_failsafe, prepare_open, sources_of},
    start::{RestoreError, Starter},
};
use crate::{
    calendar,
    control::protocol::Enforcing,
    dataplane::DataplaneError,
    state::{Manifest, Pending, Revision},
};

impl Starter<'_> {
    /// Takes up the change that waits, with the time that it has left. Everything else is settled: a window that is
    /// over, a confirmation that was cut short, a restart of the machine.
    pub(super) fn resume(
        &mut self,
        editor: &mut Editor,
        last: Option<&Revision>,
    ) -> Result<Option<(InForce, Unconfirmed)>, DataplaneError> {
        let record = editor.pending.read().unwrap_or_else(|error| {
            self.note(error.to_string());
            None
        });
        let cell = self.kernel.dataplane.cell()?;
        let Some(deadline) = cell.deadline_ticks.filter(|_| cell.slot != cell.fallback) else {
            self.settle(editor, record, Why::Interrupted);
            return Ok(None);
        };
        if reached(self.kernel.dataplane.clock()?.now_ticks, deadline) {
            self.end_window();
            self.settle(editor, record, Why::Late);
            return Ok(None);
        }
        let Some(record) = record.filter(|record| record.cell == cell.pack()) else {
            self.end_window();
            self.note(
                "a change that nothing is known of waited for its confirmation; it was taken back".into(),
            );
            self.settle(editor, None, Why::Interrupted);
            return Ok(None);
        };
        if editor.revisions.current() == Some(record.revision) {
            // It was confirmed, and the agent ended before it could tell the kernel.
            if let Err(error) = self.kernel.keep() {
                self.note(error.to_string());
            }
            clear_pending(editor);
            return Ok(None);
        }
        match self.try_resume(editor, &record, last) {
            Ok(Some(resumed)) => {
                tracing::warn!(
                    revision = record.revision,
                    fallback = record.fallback,
                    deadline = %record.deadline,
                    "a change still waits for its confirmation"
                );
                return Ok(Some(resumed));
            }
            Ok(None) => self.note(format!(
                "the kernel does not hold revision {} as it was put in force; it waited for its confirmation, and \
                 was taken back",
                record.revision
            )),
            Err(error) => self.note(format!(
                "revision {} waited for its confirmation, and was taken back: {error}",
                record.revision
            )),
        }
        self.end_window();
        clear_pending(editor);
        discard(editor, record.revision);
        Ok(None)
    }

    fn try_resume(
        &mut self,
        editor: &mut Editor,
        record: &Pending,
        last: Option<&Revision>,
    ) -> Result<Option<(InForce, Unconfirmed)>, RestoreError> {
        if last.map(|last| last.manifest.number) != record.fallback {
            return Ok(None);
        }
        let waiting = editor
            .revisions
            .read(record.revision)
            .map_err(CommitError::from)?;
        let next = prepare(sources_of(&waiting.files), self.settings)?;
        // Without a revision it was the failsafe or nothing; where it was something else, the kernel holds that.
        let (former, enforcing) = match last {
            Some(last) => (
                prepare(sources_of(&last.files), self.settings)?,
                Enforcing::Policy,
            ),
            None if waits_for_an_operator(self.settings) => {
                (prepare_open(self.settings)?, Enforcing::Nothing)
            }
            None => (prepare_failsafe(self.settings)?, Enforcing::FailsafeOnly),
        };
        let (numbers, of_former) =
            assign_both(editor, &next.policy, &former.policy).map_err(CommitError::from)?;
        let epochs = self
            .kernel
            .resume(self.adoption, (&next, &numbers), (&former, &of_former))?;
        let Some((epoch, former_epoch)) = epochs else {
            return Ok(None);
        };
        let in_force = |enforcing, prepared, numbers, epoch, manifest: Option<Manifest>| {
            let counter_use = CounterUse::from(&editor.counters);
            InForce::new(enforcing, prepared, numbers, epoch, manifest, counter_use)
        };
        let manifest = last.map(|last| last.manifest.clone());
        let before = in_force(enforcing, former, of_former.numbers, former_epoch, manifest);
        Ok(Some((
            in_force(
                Enforcing::Policy,
                next,
                numbers.numbers,
                epoch,
                Some(waiting.manifest),
            ),
            Unconfirmed {
                record: record.clone(),
                before: Arc::new(before),
            },
        )))
    }

    /// What the kernel side goes back to by itself is in force from now on, by its cell.
    fn end_window(&mut self) {
        if let Err(error) = self.kernel.end_unknown_window() {
            self.note(format!("the cell is left as the change had it: {error}"));
        }
    }

    /// A record without a window in the kernel: nobody has confirmed the change in time, or the machine was started
    /// anew.
    fn settle(&mut self, editor: &Editor, record: Option<Pending>, why: Why) {
        let Some(record) = record else { return };
        clear_pending(editor);
        if editor.revisions.current() == Some(record.revision) {
            return;
        }
        discard(editor, record.revision);
        self.note(format!(
            "revision {} was not confirmed, and is not in force any more",
            record.revision
        ));
        let now = calendar::now();
        self.ended = Some(Ended {
            revision: record.revision,
            // Without the cell's word there is the calendar's.
            why: if record.deadline <= now { Why::Late } else { why },
            at: record.deadline.min(now),
            window_seconds: record.window_seconds,
        });
    }
}
