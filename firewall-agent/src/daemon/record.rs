//! What is written into the history, and when.

use super::{agent::Editor, start::own_actor};
use crate::state::{Actor, BanChange, Cause, Event, Manifest, Panic, Record, Revision};

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
    pub(super) fn record_event(&mut self, event: Event, by: &Actor, why: Option<&str>, changes: &[String]) {
        let record = self.record_of(event, by, why, changes);
        self.append(record);
    }

    /// What is to be recorded of a change of bans, kept with them until it is.
    pub(super) fn ban_change(
        &self,
        event: Event,
        by: &Actor,
        why: Option<&str>,
        changes: &[String],
    ) -> BanChange {
        BanChange {
            entry: self.history.head().number + 1,
            record: self.record_of(event, by, why, changes),
        }
    }

    /// Records a change of bans; false where that cannot be done now.
    pub(super) fn record_bans(&mut self, change: &BanChange) -> bool {
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
