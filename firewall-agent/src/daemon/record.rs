//! What is written into the history, and when.

use firewall_common::cell::Mode;

use super::{agent::Editor, start::own_actor};
use crate::{
    failpoint::Step,
    state::{Actor, Cause, Event, Manifest, Panic, Record, Revision, Unrecorded},
};

/// Changes that an entry about no revision tells of.
const MOST_CHANGES: usize = 100;

impl Editor {
    /// Records a revision that counts from now on. It is in force already: what cannot be recorded now is recorded by the
    /// next start.
    pub(super) fn record_revision(&mut self, manifest: &Manifest, confirmed_by: Option<&Actor>) {
        let hash = self.revisions.manifest_hash(manifest.number);
        self.append(Record {
            revision: Some(manifest.number),
            cause: Some(manifest.cause),
            confirmed_by: confirmed_by.cloned(),
            why: manifest.why.clone(),
            changes: manifest.changes.len() as u64,
            manifest: hash.ok(),
            ..Record::of(Event::Revision, manifest.by.clone())
        });
    }

    /// Records something that is no revision.
    /// False where that cannot be done now.
    pub(super) fn record_event(
        &mut self,
        event: Event,
        by: &Actor,
        why: Option<&str>,
        changes: &[String],
    ) -> bool {
        let record = self.record_of(event, by, why, changes);
        self.append(record)
    }

    /// Notes a pause that is about to be made or ended. Says what comes of it where it cannot be noted: what the operator
    /// wants is done all the same.
    pub(super) fn note_pause(
        &self,
        event: Event,
        by: &Actor,
        why: Option<&str>,
        changes: &[String],
    ) -> Option<String> {
        let noted = self.pause.write(&self.to_record(event, by, why, changes));
        Step::ModeNoted.done();
        let error = noted.err()?;
        tracing::error!(%error, "a pause is not noted before it is made");
        Some(format!(
            "the history would lack it, should the agent end now: {error}"
        ))
    }

    /// What is to be recorded of a change, kept with it or noted before it.
    pub(super) fn to_record(
        &self,
        event: Event,
        by: &Actor,
        why: Option<&str>,
        changes: &[String],
    ) -> Unrecorded {
        Unrecorded {
            entry: self.history.head().number + 1,
            record: self.record_of(event, by, why, changes),
        }
    }

    /// Records a change that was kept or noted; false where that cannot be done now.
    pub(super) fn record_kept(&mut self, change: &Unrecorded) -> bool {
        self.append(change.record.clone())
    }

    fn record_of(&self, event: Event, by: &Actor, why: Option<&str>, changes: &[String]) -> Record {
        let mut what: Vec<String> = changes.iter().take(MOST_CHANGES).cloned().collect();
        if changes.len() > what.len() {
            what.push(format!("and {} more", changes.len() - what.len()));
        }
        Record {
            revision: self.revisions.current(),
            why: why.map(str::to_owned),
            changes: changes.len() as u64,
            what,
            ..Record::of(event, by.clone())
        }
    }

    /// An agent that ended between a revision and its record has left it unrecorded, and so has one that knew of no
    /// history.
    pub(super) fn catch_up(&mut self, last: Option<&Revision>) {
        let Some(last) = last.map(|last| &last.manifest) else {
            return;
        };
        if self.revisions.current() == Some(last.number) && self.history.last_revision() != Some(last.number)
        {
            self.record_revision(last, None);
        }
    }

    /// The same for panic, and for its end: who has ended it is known no more.
    pub(super) fn catch_up_panic(&mut self, panic: Option<&Panic>) {
        match panic {
            Some(panic) if !self.history.tells_of_panic() => {
                self.record_event(Event::Panic, &panic.by, panic.why.as_deref(), &[]);
            }
            None if self.history.tells_of_panic() => {
                let why = "the agent ended when panic had been ended";
                self.record_event(Event::PanicOff, &own_actor(), Some(why), &[]);
            }
            _ => {}
        }
    }

    /// The same for a pause and its end, which are noted before they are made. `mode` is what the kernel side was last
    /// switched to, also where that has ended by itself. Says what has become of it.
    pub(super) fn catch_up_pause(&mut self, mode: Mode) -> Option<String> {
        let change = match self.pause.read() {
            Ok(change) => change?,
            Err(error) => return Some(format!("the history may lack a pause: {error}")),
        };
        let is_made = (mode == Mode::Pause) == (change.record.event == Event::Pause);
        let is_recorded = self.history.tells(&change) || (is_made && self.record_kept(&change));
        if is_recorded || !is_made {
            self.clear_pause();
        }
        Some(format!(
            "the agent ended while it made a change of {} ({}): {}",
            change.record.by.describe(),
            change.record.event.name(),
            match (is_made, is_recorded) {
                (true, true) => "the change was made, and is recorded",
                (true, false) => "the change was made, and cannot be recorded yet",
                (false, _) => "the change was not made",
            }
        ))
    }

    /// A pause is recorded, or was not made.
    pub(super) fn clear_pause(&self) {
        if let Err(error) = self.pause.clear() {
            tracing::error!(%error, "the next start will look for a pause that is recorded");
        }
    }

    fn append(&mut self, record: Record) -> bool {
        let (event, by) = (record.event.name(), record.by.describe());
        let (revision, cause) = (record.revision, record.cause.map(Cause::name));
        match self.history.append(record) {
            Ok(head) => {
                tracing::info!(
                    event,
                    revision,
                    cause,
                    by,
                    history_entry = head.number,
                    history_head = head.hash,
                    "recorded"
                );
                true
            }
            Err(error) => {
                tracing::error!(event, revision, cause, by, %error, "not recorded in the history");
                false
            }
        }
    }
}
