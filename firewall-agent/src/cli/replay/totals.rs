//! What became of all packets together.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::verdict_of;
use crate::replay::{Outcome, Replayed, Unusable};

/// Numbers of packets.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::cli) struct Totals {
    /// In the capture.
    pub(super) packets: u64,
    /// By verdict, rule and reason; with two policies by the new one.
    pub(super) verdicts: Vec<Group>,
    /// Not judged, since their headers were not captured whole.
    pub(super) cut: u64,
    /// Judged although their end was not captured: their headers were.
    pub(super) cut_behind_headers: u64,
    /// Not judged, since they went from elsewhere to elsewhere.
    pub(super) elsewhere: u64,
    /// Not judged, since they are of a link of another kind.
    pub(super) other_links: u64,
    /// Not judged, since the kernel runs no program on frames of their length.
    pub(super) not_run: u64,
    /// On which the verdict changes.
    pub(super) changed: u64,
    /// By verdict before and after.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) changes: BTreeMap<String, u64>,
    /// How long it took to judge them, in seconds.
    pub(super) seconds: f64,
    /// Whether the capture could be read to its end.
    pub(super) is_complete: bool,
}

/// Packets with one verdict for one cause.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Group {
    pub(super) verdict: &'static str,
    pub(super) reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<String>,
    pub(super) packets: u64,
}

impl Totals {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.packets += 1;
        self.cut_behind_headers += u64::from(outcome.is_cut);
        let judged = match &outcome.replayed {
            Replayed::Judged(judged) => judged,
            Replayed::Unusable(Unusable::Cut { .. }) => return self.cut += 1,
            Replayed::Unusable(Unusable::Link(_)) => return self.other_links += 1,
            Replayed::Unusable(Unusable::NotRun) => return self.not_run += 1,
            Replayed::Elsewhere => return self.elsewhere += 1,
        };
        let verdict = crate::trial::verdict_name(judged.verdict);
        let reason = judged.reason.name();
        let is_same = |group: &&mut Group| {
            group.verdict == verdict
                && group.reason == reason
                && group.rule.as_deref() == judged.rule.as_deref()
        };
        match self.verdicts.iter_mut().find(is_same) {
            Some(group) => group.packets += 1,
            None => self.verdicts.push(Group {
                verdict,
                reason,
                rule: judged.rule.as_deref().map(str::to_owned),
                packets: 1,
            }),
        }
    }

    pub(super) fn count_change(&mut self, before: &Outcome, after: &Outcome) {
        self.changed += 1;
        let word = |outcome| verdict_of(outcome).unwrap_or("not judged");
        let change = format!("{} -> {}", word(before), word(after));
        *self.changes.entry(change).or_default() += 1;
    }

    /// Those with most packets first.
    pub(super) fn sorted(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.verdicts.iter().collect();
        groups.sort_by(|one, other| other.packets.cmp(&one.packets).then(one.rule.cmp(&other.rule)));
        groups
    }
}
