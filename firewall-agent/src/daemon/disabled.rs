//! Rules that are switched off where they are written: no part of the policy, but of its files.

use std::path::Path;

use super::{in_force::InForce, timed::Remaining};
use crate::{
    control::protocol::{DisabledRule, RuleDetail},
    policy::{
        Layer,
        edit::{TimedEntry, disabled_rules, rule_text, sentence_name, timed_entries},
        layer_of,
        model::Term,
    },
};

/// Those of this host's layers.
pub(super) fn rules(in_force: &InForce, remaining: &Remaining) -> Vec<DisabledRule> {
    let mut rules = Vec::new();
    for (path, text) in own_files(in_force) {
        let name_of_file = file_name(path);
        let terms = timed_entries(text);
        for (name, line) in disabled_rules(text) {
            let term = term(&terms, &name);
            rules.push(DisabledRule {
                until: term.map(|term| term.until),
                seconds_left: term.map(|term| remaining.left(term).as_secs()),
                origin: format!("{name_of_file}:{line}"),
                name,
            });
        }
    }
    rules
}

/// How long a rule is to hold that ends by itself.
fn term(entries: &[TimedEntry], name: &str) -> Option<Term> {
    let mut entries = entries.iter();
    entries.find(|entry| entry.name == name).map(|entry| entry.term)
}

/// Whether a rule of this name is switched off in one of these files.
pub(super) fn is_disabled<'a>(files: impl Iterator<Item = &'a str>, name: &str) -> bool {
    let name = sentence_name(name);
    // Most files have none, and need not be read as TOML once more.
    files
        .filter(|text| text.contains("enabled"))
        .any(|text| disabled_rules(text).iter().any(|(disabled, _)| disabled == name))
}

/// One of them.
pub(super) fn rule(in_force: &InForce, remaining: &Remaining, name: &str) -> Option<RuleDetail> {
    let name = sentence_name(name);
    let is_here = |text: &str| disabled_rules(text).iter().any(|(disabled, _)| disabled == name);
    let (_, text) = own_files(in_force).find(|(_, text)| is_here(text))?;
    let term = term(&timed_entries(text), name);
    Some(RuleDetail {
        until: term.map(|term| term.until),
        seconds_left: term.map(|term| remaining.left(term).as_secs()),
        rules: Vec::new(),
        text: rule_text(text, name)?.to_owned(),
        disabled: true,
        interfaces: None,
        log_per_second: None,
        owner: None,
        reason: None,
        review: None,
        review_overdue: false,
    })
}

/// Paths and texts of this host's layers.
fn own_files(in_force: &InForce) -> impl Iterator<Item = (&Path, &str)> {
    let policy = &in_force.policy;
    in_force
        .files
        .iter()
        .filter_map(|file| Some((&*file.path, file.policy_text()?)))
        .filter(|(_, text)| match layer_of(text) {
            Some(Layer::Base) => true,
            Some(Layer::Role(role)) => role == policy.role,
            Some(Layer::Host(host)) => policy.host.as_ref() == Some(&host),
            Some(Layer::Timed) => true,
            Some(Layer::Inventory) | None => false,
        })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
