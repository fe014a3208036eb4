//! The history, for who asks; and what two revisions say differently.

use super::{
    agent::{Agent, Editor},
    chain::chain,
    plan::differences,
    prepare::{PrepareError, prepare, sources_of},
};
use crate::{
    control::protocol::{
        Difference, Failure, FailureKind, HistoryEntry, HistoryFault, HistoryList, HistoryVerdict,
    },
    policy::model::ValidPolicy,
    state::{Actor, Event, Head, Revision, StateError},
};

impl Agent {
    /// The newest entries of the history, oldest first.
    pub fn history(&self, limit: usize) -> Result<HistoryList, Failure> {
        let editor = self.lock_editor();
        let chain = editor.history.read().map_err(|error| failed(&error))?;
        let total = chain.entries.len();
        let entries = chain.entries.into_iter().skip(total.saturating_sub(limit));
        Ok(HistoryList {
            entries: entries
                .map(|(entry, hash)| HistoryEntry { entry, hash })
                .collect(),
            total,
            head: editor.history.head().clone(),
            faults: chain.faults.len(),
        })
    }

    /// Looks at every link of the chain, and at the manifests of the revisions. `head` is one that was written down
    /// elsewhere: it has to be in the chain.
    pub fn verify_history(&self, head: Option<&str>) -> Result<HistoryVerdict, Failure> {
        let editor = self.lock_editor();
        let chain = editor.history.read().map_err(|error| failed(&error))?;
        let mut faults: Vec<HistoryFault> = chain
            .faults
            .iter()
            .map(|fault| HistoryFault {
                line: Some(fault.line),
                what: fault.what.clone(),
            })
            .collect();
        let fault = |what: String| HistoryFault { line: None, what };
        if let Some(head) = head.filter(|head| chain.entries.iter().all(|(_, hash)| !hash.starts_with(head)))
        {
            faults.push(fault(format!("no entry has the hash {head}")));
        }
        let present = editor.revisions.numbers().map_err(|error| failed(&error))?;
        let waiting = self.unconfirmed().map(|waiting| waiting.record.revision);
        let recorded: Vec<(u64, Option<&String>)> = chain
            .entries
            .iter()
            .filter(|(entry, _)| entry.record.event == Event::Revision)
            .filter_map(|(entry, _)| Some((entry.record.revision?, entry.record.manifest.as_ref())))
            .collect();
        for &(number, manifest) in recorded.iter().filter(|(number, _)| present.contains(number)) {
            let stored = editor.revisions.manifest_hash(number).ok();
            if manifest.is_some() && stored.as_ref() != manifest {
                faults.push(fault(format!(
                    "the manifest of revision {number} is not the one that was recorded"
                )));
            } else if let Err(error) = editor.revisions.read(number) {
                faults.push(fault(error.to_string()));
            }
        }
        let oldest = recorded.iter().map(|(number, _)| *number).min();
        let is_recorded = |number: u64| recorded.iter().any(|(recorded, _)| *recorded == number);
        let unrecorded = present
            .into_iter()
            .filter(|number| oldest.is_none_or(|oldest| *number >= oldest) && Some(*number) != waiting);
        for number in unrecorded.filter(|number| !is_recorded(*number)) {
            faults.push(fault(format!(
                "revision {number} is there, and no entry is about it"
            )));
        }
        Ok(HistoryVerdict {
            entries: chain.entries.len(),
            head: editor.history.head().clone(),
            faults,
        })
    }

    /// Cuts off entries before this one, behind a checkpoint.
    pub fn cut_history(&self, by: &Actor, first: u64, why: Option<String>) -> Result<Head, Failure> {
        let mut editor = self.lock_editor();
        let head = editor
            .history
            .cut(first, by.clone(), why)
            .map_err(|error| Failure::new(FailureKind::Conflict, error.to_string()))?;
        self.follow_history(&editor);
        tracing::info!(
            uid = by.uid,
            user = by.user,
            first,
            history_entry = head.number,
            history_head = head.hash,
            "older entries of the history were cut off"
        );
        Ok(head)
    }

    /// What the revision `to` says differently than `from`.
    pub fn difference(&self, from: u64, to: u64) -> Result<Difference, Failure> {
        let (from, to) = {
            let editor = self.lock_editor();
            (read_revision(&editor, from)?, read_revision(&editor, to)?)
        };
        Ok(differences(&self.resolved(&from)?, &self.resolved(&to)?))
    }

    fn resolved(&self, revision: &Revision) -> Result<ValidPolicy, Failure> {
        let prepared = prepare(sources_of(&revision.files), &self.settings).map_err(|error| {
            let failure = PrepareError::failure(error);
            Failure {
                message: format!("revision {}: {}", revision.manifest.number, failure.message),
                ..failure
            }
        })?;
        Ok(ValidPolicy::clone(&prepared.policy))
    }
}

/// A confirmed revision.
pub(super) fn read_revision(editor: &Editor, number: u64) -> Result<Revision, Failure> {
    let numbers = editor.revisions.numbers().map_err(|error| failed(&error))?;
    let current = editor.revisions.current();
    if !numbers.contains(&number) || current.is_none_or(|current| number > current) {
        return Err(
            Failure::new(FailureKind::NotFound, format!("there is no revision {number}"))
                .hint("`fwctl history` shows them"),
        );
    }
    editor.revisions.read(number).map_err(|error| failed(&error))
}

fn failed(error: &StateError) -> Failure {
    Failure::new(FailureKind::Failed, chain(error)).hint("look at the state directory")
}
