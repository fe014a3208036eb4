//! Rules that are switched off where they are written: no part of the policy, but of its files.

use std::path::Path;

use super::in_force::InForce;
use crate::{
    control::protocol::{DisabledRule, RuleDetail},
    policy::{
        Layer,
        edit::{disabled_rules, rule_text, sentence_name},
        layer_of,
    },
};

/// Those of this host's layers.
pub(super) fn rules(in_force: &InForce) -> Vec<DisabledRule> {
    let rules = own_files(in_force).flat_map(|(path, text)| {
        let name_of_file = file_name(path);
        let rules = disabled_rules(text).into_iter();
        rules.map(move |(name, line)| DisabledRule {
            name,
            origin: format!("{name_of_file}:{line}"),
        })
    });
    rules.collect()
}

/// One of them.
pub(super) fn rule(in_force: &InForce, name: &str) -> Option<RuleDetail> {
    let name = sentence_name(name);
    let is_here = |text: &str| disabled_rules(text).iter().any(|(disabled, _)| disabled == name);
    let (_, text) = own_files(in_force).find(|(_, text)| is_here(text))?;
    Some(RuleDetail {
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
            Some(Layer::Inventory | Layer::Timed) | None => false,
        })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
