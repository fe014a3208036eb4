//! Puts a prepared policy in force as a new revision.
//!
//! The order makes every failure harmless: the revision is on disk before the kernel is touched, the kernel has
//! switched before the revision counts, and where the revision cannot be made to count the kernel switches back.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    agent::Editor,
    in_force::{CounterUse, InForce},
    kernel::{EnforceError, Kernel, Strictness},
    prepare::Prepared,
};
use crate::{
    control::protocol::{Enforcing, Failure, FailureKind},
    policy::model::{Rule, ValidPolicy},
    state::{Actor, Cause, NewRevision, StateError},
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
    let names: Vec<Arc<str>> = prepared
        .policy
        .rules
        .iter()
        .map(|rule| rule.name.clone())
        .collect();
    let numbering = editor.counters.assign(&names)?;
    let manifest = editor.revisions.write(revision(&prepared, before, occasion))?;
    let switched = match kernel.enforce(&prepared, &numbering, strictness) {
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
    Ok(InForce::new(
        Enforcing::Policy,
        prepared,
        numbering.numbers,
        epoch,
        Some(manifest),
        CounterUse::from(&editor.counters),
    ))
}

fn discard(editor: &Editor, number: u64) {
    if let Err(error) = editor.revisions.discard(number) {
        tracing::warn!(%error, "a revision that was not put in force is left over");
    }
}

fn revision(prepared: &Prepared, before: Option<&InForce>, occasion: &Occasion) -> NewRevision {
    NewRevision {
        by: occasion.by.clone(),
        cause: occasion.cause,
        why: occasion.why.clone(),
        role: prepared.policy.role.to_string(),
        host: prepared.policy.host.as_ref().map(ToString::to_string),
        policy_hash: prepared.image.hash().to_string(),
        changes: changes(before.map(|before| &before.policy), &prepared.policy),
        files: prepared.files.clone(),
    }
}

/// What is different, a rule in each line.
pub(super) fn changes(before: Option<&ValidPolicy>, after: &ValidPolicy) -> Vec<String> {
    let old: BTreeMap<&str, &Rule> = before.into_iter().flat_map(by_name).collect();
    let new: BTreeMap<&str, &Rule> = by_name(after).collect();
    let mut changes = Vec::new();
    for (name, rule) in &new {
        match old.get(name) {
            None => changes.push(format!("added rule {name}")),
            Some(before) if !same(before, rule) => changes.push(format!("changed rule {name}")),
            Some(_) => {}
        }
    }
    let deleted = old.keys().filter(|name| !new.contains_key(*name));
    changes.extend(deleted.map(|name| format!("deleted rule {name}")));
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
