//! What is written into the history, and when.

use super::agent::Editor;
use crate::state::{Actor, Cause, Event, Manifest, Record, Revision};

/// Changes that an entry about no revision tells of.
const MOST_CHANGES: usize = 100;

impl Editor {
    /// Records a revision that counts from now on. It is in force already: what cannot be recorded now is recorded by the
    /// next start.
    pub(super) fn record_revision(&mut self, manifest: &Manifest, confirmed_by: Option<&Actor>) {
        let hash = self.revisions.manifest_hash(manifest.number);
        self.append(Record {
            event: Event::Revision,
            revision: Some(manifest.number),
            cause: Some(manifest.cause),
            by: manifest.by.clone(),
            confirmed_by: confirmed_by.cloned(),
            why: manifest.why.clone(),
            changes: manifest.changes.len() as u64,
            what: Vec::new(),
            manifest: hash.ok(),
            cut: None,
        });
    }

    /// Records something that is no revision.
    pub(super) fn record_event(&mut self, event: Event, by: &Actor, why: Option<&str>, changes: &[String]) {
        let mut what: Vec<String> = changes.iter().take(MOST_CHANGES).cloned().collect();
        if changes.len() > what.len() {
            what.push(format!("and {} more", changes.len() - what.len()));
        }
        self.append(Record {
            event,
            revision: self.revisions.current(),
            cause: None,
            by: by.clone(),
            confirmed_by: None,
            why: why.map(str::to_owned),
            changes: changes.len() as u64,
            what,
            manifest: None,
            cut: None,
        });
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

    fn append(&mut self, record: Record) {
        let (event, by) = (record.event.name(), record.by.describe());
        let (revision, cause) = (record.revision, record.cause.map(Cause::name));
        match self.history.append(record) {
            Ok(head) => tracing::info!(
                event,
                revision,
                cause,
                by,
                history_entry = head.number,
                history_head = head.hash,
                "recorded"
            ),
            Err(error) => tracing::error!(event, revision, cause, by, %error, "not recorded in the history"),
        }
    }
}
