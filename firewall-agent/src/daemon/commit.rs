//! Puts a prepared policy in force as a new revision.
//!
//! The order makes every failure harmless: the revision is on disk before the kernel is touched, the kernel has
//! switched before the revision counts, and where the revision cannot be made to count the kernel switches back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use firewall_common::cell::Cell;
use jiff::Timestamp;

use super::{
    agent::Editor,
    disabled::is_disabled,
    in_force::{CounterUse, InForce},
    kernel::{EnforceError, Kernel, Lasting, Strictness},
    known_file::KnownFile,
    prepare::Prepared,
};
use crate::{
    calendar,
    control::protocol::{Enforcing, Failure, FailureKind},
    failpoint::Step,
    policy::model::{Rule, ValidPolicy},
    state::{Actor, Cause, Manifest, NewRevision, Numbering, Pending, StateError, Write},
};

/// Who wants it, and why.
#[derive(Debug, Clone)]
pub(super) struct Occasion {
    pub(super) by: Actor,
    pub(super) cause: Cause,
    pub(super) why: Option<String>,
}

/// Why a policy was not put in force. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The kernel.
    #[error(transparent)]
    Enforce(#[from] EnforceError),
}

impl CommitError {
    /// For the operator.
    pub(super) fn failure(&self) -> Failure {
        let message = self.to_string();
        match self {
            Self::State(_) => Failure::new(FailureKind::Failed, message)
                .hint("what was in force stays in force; look at the state directory, then try again"),
            Self::Enforce(EnforceError::ConfirmPending) => Failure::new(FailureKind::Conflict, message)
                .hint("confirm it or wait until it is taken back, then try again"),
            Self::Enforce(EnforceError::NothingFiltered { .. }) => {
                Failure::new(FailureKind::Conflict, message).hint(
                    "mend `interfaces` in the policy; to stop filtering, stop the agent and run `firewall-agent unload`",
                )
            }
            Self::Enforce(EnforceError::Mode { .. }) => Failure::new(FailureKind::Conflict, message)
                .hint("end that first (`fwctl panic off`, `fwctl pause off`), or say --no-confirm"),
            Self::Enforce(EnforceError::Interfaces(_)) => Failure::new(FailureKind::Failed, message)
                .hint("name in the policy only interfaces that can be filtered"),
            Self::Enforce(_) => Failure::new(FailureKind::Failed, message)
                .hint("what was in force stays in force; the agent's log has the details"),
        }
    }
}

/// Puts a policy in force as a new revision. `before` is what is in force.
pub(super) fn commit(
    editor: &mut Editor,
    kernel: &mut Kernel,
    prepared: Prepared,
    before: Option<&InForce>,
    occasion: &Occasion,
    strictness: Strictness,
) -> Result<InForce, CommitError> {
    let numbering = editor.counters.assign(&rule_names(&prepared.policy))?;
    Step::CountersAssigned.done();
    let manifest = editor.revisions.write(revision(&prepared, before, occasion))?;
    Step::RevisionWritten.done();
    let switched = match kernel.enforce(&prepared, &numbering, strictness, Lasting::ForGood) {
        Ok(switched) => switched,
        Err(error) => {
            discard(editor, manifest.number);
            return Err(error.into());
        }
    };
    let epoch = switched.epoch;
    if let Err(error) = editor.revisions.confirm(manifest.number) {
        kernel.take_back(switched)?;
        discard(editor, manifest.number);
        return Err(error.into());
    }
    Step::RevisionCounts.done();
    detach_unwanted(kernel);
    editor.record_revision(&manifest, None);
    Ok(in_force(editor, prepared, numbering, epoch, manifest))
}

/// How a change waits for its confirmation.
pub(super) struct Window {
    /// How long.
    pub(super) length: Duration,
    /// Files that are written when it is confirmed.
    pub(super) writes: Vec<Write>,
}

/// Puts a policy in force until the window ends, and as a revision that does not count yet. `before` is what is in
/// force, and what the kernel side goes back to by itself.
pub(super) fn commit_for(
    editor: &mut Editor,
    kernel: &mut Kernel,
    prepared: Prepared,
    before: &InForce,
    occasion: &Occasion,
    window: Window,
) -> Result<(InForce, Pending), CommitError> {
    let numbering = assign_both(editor, &prepared.policy, &before.policy)?.0;
    Step::CountersAssigned.done();
    let manifest = editor
        .revisions
        .write(revision(&prepared, Some(before), occasion))?;
    Step::RevisionWritten.done();
    let since = calendar::now();
    let mut pending = Pending {
        format: Pending::FORMAT,
        revision: manifest.number,
        fallback: before.revision.as_ref().map(|revision| revision.number),
        cell: 0,
        window_seconds: window.length.as_secs(),
        since,
        deadline: since.checked_add(window.length).unwrap_or(Timestamp::MAX),
        by: occasion.by.clone(),
        cause: occasion.cause,
        why: occasion.why.clone(),
        writes: window.writes,
    };
    let file = &editor.pending;
    let mut note = |cell: Cell| {
        pending.cell = cell.pack();
        // Before the kernel knows of it: a deadline that no file tells of is taken back at the next start.
        file.write(&pending).inspect(|()| Step::WindowNoted.done())
    };
    let lasting = Lasting::For {
        window: window.length,
        note: &mut note,
    };
    let switched = match kernel.enforce(&prepared, &numbering, Strictness::Strict, lasting) {
        Ok(switched) => switched,
        Err(error) => {
            clear_pending(editor);
            discard(editor, manifest.number);
            return Err(error.into());
        }
    };
    let in_force = in_force(editor, prepared, numbering, switched.epoch, manifest);
    Ok((in_force, pending))
}

/// Counter numbers of a policy and of the one that it may give way to again: neither takes a number from the other.
pub(super) fn assign_both(
    editor: &mut Editor,
    next: &ValidPolicy,
    former: &ValidPolicy,
) -> Result<(Numbering, Numbering), StateError> {
    let (mut names, former) = (rule_names(next), rule_names(former));
    let count = names.len();
    names.extend(former);
    let mut both = editor.counters.assign(&names)?;
    let of_former = both.numbers.split_off(count);
    let to_reset = both.to_reset.clone();
    Ok((
        both,
        Numbering {
            numbers: of_former,
            to_reset,
        },
    ))
}

fn rule_names(policy: &ValidPolicy) -> Vec<Arc<str>> {
    policy.rules.iter().map(|rule| rule.name.clone()).collect()
}

fn in_force(
    editor: &Editor,
    prepared: Prepared,
    numbering: Numbering,
    epoch: u32,
    manifest: Manifest,
) -> InForce {
    InForce::new(
        Enforcing::Policy,
        prepared,
        numbering.numbers,
        epoch,
        Some(manifest),
        CounterUse::from(&editor.counters),
    )
}

/// Nothing waits any more. What is left over is found out at the next start.
pub(super) fn clear_pending(editor: &Editor) {
    if let Err(error) = editor.pending.clear() {
        tracing::warn!(%error, "the note of a change that waited is left over");
    }
    Step::WindowCleared.done();
}

/// Detaches what the policy in force does not name any more; what cannot be detached is filtered yet.
pub(super) fn detach_unwanted(kernel: &mut Kernel) {
    match kernel.detach_unwanted() {
        Ok(detached) if detached.is_empty() => {}
        Ok(detached) => tracing::info!(
            ?detached,
            "interfaces that the policy does not name any more are unfiltered"
        ),
        Err(error) => {
            tracing::error!(%error, "an interface that the policy does not name any more stays filtered");
        }
    }
}

pub(super) fn discard(editor: &Editor, number: u64) {
    if let Err(error) = editor.revisions.discard(number) {
        tracing::warn!(%error, "a revision that was not put in force is left over");
    }
    Step::RevisionDiscarded.done();
}

fn revision(prepared: &Prepared, before: Option<&InForce>, occasion: &Occasion) -> NewRevision {
    NewRevision {
        by: occasion.by.clone(),
        cause: occasion.cause,
        why: occasion.why.clone(),
        role: prepared.policy.role.to_string(),
        host: prepared.policy.host.as_ref().map(ToString::to_string),
        policy_hash: prepared.image.hash().to_string(),
        changes: changes(before, prepared),
        files: prepared.files.clone(),
    }
}

/// What is different, a rule in each line.
pub(super) fn changes(before: Option<&InForce>, prepared: &Prepared) -> Vec<String> {
    let was_disabled = |name: &str| {
        let files = before.into_iter().flat_map(|before| &before.files);
        is_disabled(files.filter_map(KnownFile::policy_text), name)
    };
    let is_disabled = |name: &str| {
        let files = prepared.files.iter().filter(|file| !file.is_list);
        is_disabled(files.map(|file| &*file.text), name)
    };
    let (before, after) = (before.map(|before| &*before.policy), &*prepared.policy);
    let old: BTreeMap<&str, &Rule> = before.into_iter().flat_map(by_name).collect();
    let new: BTreeMap<&str, &Rule> = by_name(after).collect();
    let mut changes = Vec::new();
    for (name, rule) in &new {
        match old.get(name) {
            None => changes.push(match rule.term {
                None if was_disabled(name) => format!("enabled rule {name}"),
                None => format!("added rule {name}"),
                Some(term) => format!("added rule {name} until {:.0}", term.until),
            }),
            Some(before) if !same(before, rule) => changes.push(match rule.term {
                Some(term) if before.term != rule.term => {
                    format!("changed rule {name} until {:.0}", term.until)
                }
                _ => format!("changed rule {name}"),
            }),
            Some(_) => {}
        }
    }
    let deleted = old.keys().filter(|name| !new.contains_key(*name));
    changes.extend(deleted.map(|name| {
        let what = if is_disabled(name) { "disabled" } else { "deleted" };
        format!("{what} rule {name}")
    }));
    changes.extend(list_changes(before, after));
    if let Some(before) = before {
        changes.extend(order_changed(before, after).then(|| "changed the order of rules".to_owned()));
        let interfaces = [before, after].map(|policy| policy.settings.interfaces.join(" "));
        if let [old, new] = &interfaces
            && old != new
        {
            changes.push(format!("changed the filtered interfaces from {old} to {new}"));
        }
        changes
            .extend((before.settings != after.settings).then(|| "changed settings of the policy".to_owned()));
        changes.extend((before.failsafe != after.failsafe).then(|| "changed the failsafe".to_owned()));
    }
    changes
}

fn list_changes(before: Option<&ValidPolicy>, after: &ValidPolicy) -> Vec<String> {
    let old = before.map(|before| before.lists.as_slice()).unwrap_or_default();
    let new = &after.lists;
    let mut changes = Vec::new();
    for list in new {
        let (name, now) = (&list.name, list.entries.len());
        match old.iter().find(|before| before.name == *name) {
            None => changes.push(format!("added block list {name} ({now} entries)")),
            Some(before) if before.entries != list.entries => changes.push(format!(
                "changed block list {name} ({} entries before, {now} now)",
                before.entries.len()
            )),
            Some(_) => {}
        }
    }
    let deleted = old
        .iter()
        .filter(|before| new.iter().all(|list| list.name != before.name));
    changes.extend(deleted.map(|list| format!("deleted block list {}", list.name)));
    changes
}

fn by_name(policy: &ValidPolicy) -> impl Iterator<Item = (&str, &Rule)> {
    policy.rules.iter().map(|rule| (&*rule.name, rule))
}

/// Whether two rules of one name say the same, wherever they are written.
fn same(one: &Rule, other: &Rule) -> bool {
    let moved = Rule {
        origin: other.origin.clone(),
        ..one.clone()
    };
    moved == *other
}

/// Whether the rules that both have are in another order.
fn order_changed(before: &ValidPolicy, after: &ValidPolicy) -> bool {
    let shared = |one: &ValidPolicy, other: &ValidPolicy| -> Vec<Arc<str>> {
        let names: std::collections::BTreeSet<&str> = by_name(other).map(|(name, _)| name).collect();
        let kept = one.rules.iter().filter(|rule| names.contains(&*rule.name));
        kept.map(|rule| rule.name.clone()).collect()
    };
    shared(before, after) != shared(after, before)
}
