//! Puts the layers of one host on top of each other: base, then role, then host.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::link::{LinkedLayer, LinkedRule};
use crate::diagnostic::{Code, Diagnostic};

/// Rules of a later layer by the place of the earlier rule beside which they are tried.
type Moved<'a> = BTreeMap<Beside, Vec<&'a LinkedRule>>;

/// Beside the rule of this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Beside {
    Before(usize),
    After(usize),
}

/// The rules of all layers in the order in which they are tried.
///
/// `faulty` names rules that were left out; to replace one of those is no mistake.
pub(super) fn stacked<'a>(
    layers: &[&'a LinkedLayer],
    faulty: &BTreeSet<Arc<str>>,
    found: &mut Vec<Diagnostic>,
) -> Vec<&'a LinkedRule> {
    let mut stack = Vec::new();
    for layer in layers {
        let mut references = Vec::new();
        stack = with_layer(stack, layer, &mut references);
        found.extend(
            references
                .into_iter()
                .filter(|(missing, _)| !faulty.contains(missing))
                .map(|(_, fault)| fault),
        );
    }
    stack.into_iter().filter(|rule| rule.entry.enabled).collect()
}

/// What is wrong with a reference to an earlier rule, with the name of that rule.
type Fault = (Arc<str>, Diagnostic);

fn with_layer<'a>(
    mut stack: Vec<&'a LinkedRule>,
    layer: &'a LinkedLayer,
    faults: &mut Vec<Fault>,
) -> Vec<&'a LinkedRule> {
    let known: BTreeMap<Arc<str>, usize> = stack
        .iter()
        .enumerate()
        .map(|(at, rule)| (rule.entry.name.value.clone(), at))
        .collect();
    let mut own = Vec::new();
    let mut moved = Moved::new();
    for rule in &layer.rules {
        let name = &rule.entry.name.value;
        match known.get(name) {
            Some(at) if rule.entry.overrides => {
                stack[*at] = rule;
                continue;
            }
            Some(at) => faults.push((name.clone(), name_taken(rule, stack[*at]))),
            None if rule.entry.overrides => faults.push((name.clone(), nothing_to_override(rule))),
            None => {}
        }
        match position(rule, &known, faults) {
            Some(at) => moved.entry(at).or_default().push(rule),
            None => own.push(rule),
        }
    }
    let mut result = with_moved(stack, moved);
    result.extend(own);
    result
}

/// The earlier rule beside which this one is tried, if it says so.
fn position(rule: &LinkedRule, known: &BTreeMap<Arc<str>, usize>, faults: &mut Vec<Fault>) -> Option<Beside> {
    let (beside, place): (_, fn(usize) -> Beside) = match (&rule.entry.before, &rule.entry.after) {
        (Some(before), _) => (before, Beside::Before),
        (None, Some(after)) => (after, Beside::After),
        (None, None) => return None,
    };
    let at = known.get(&beside.value).copied();
    if at.is_none() {
        let fault = Diagnostic::new(
            Code::NothingToOverride,
            &beside.place,
            format!("no earlier layer has a rule `{}`", beside.value),
        )
        .hint(match rule.entry.term {
            None => "`before` names a rule of an earlier layer; within a file the order of the rules counts".to_owned(),
            Some(_) => format!(
                "`{0}` ends by itself and is tried beside it until then; move or delete that first: fwctl rule move {0} \
                 last, fwctl rule delete {0}",
                rule.entry.name.value
            ),
        });
        faults.push((beside.value.clone(), fault));
    }
    at.map(place)
}

fn with_moved<'a>(stack: Vec<&'a LinkedRule>, mut moved: Moved<'a>) -> Vec<&'a LinkedRule> {
    let mut result = Vec::with_capacity(stack.len());
    for (at, rule) in stack.into_iter().enumerate() {
        result.extend(moved.remove(&Beside::Before(at)).into_iter().flatten());
        result.push(rule);
        result.extend(moved.remove(&Beside::After(at)).into_iter().flatten());
    }
    result
}

fn name_taken(rule: &LinkedRule, earlier: &LinkedRule) -> Diagnostic {
    let name = &rule.entry.name;
    Diagnostic::new(
        Code::RuleNameTwice,
        &name.place,
        format!("an earlier layer already has a rule `{}`", name.value),
    )
    .also(&earlier.entry.name.place, "first here")
    .hint("say `override = true` to replace it, or choose another name")
}

fn nothing_to_override(rule: &LinkedRule) -> Diagnostic {
    let name = &rule.entry.name;
    Diagnostic::new(
        Code::NothingToOverride,
        &name.place,
        format!("no earlier layer has a rule `{}` to override", name.value),
    )
    .hint("leave out `override`, or give the name of the rule that is to be replaced")
}
