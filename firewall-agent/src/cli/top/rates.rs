//! From two looks at the counters to rates.

use schemars::JsonSchema;
use serde::Serialize;

use crate::control::protocol::{Counters, HistoryEntry, Packets, Status};

/// What was seen at one moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Since the start.
    pub(super) seconds: f64,
    pub(super) status: Status,
    pub(super) counters: Counters,
    /// The newest entries of the history, oldest first.
    pub(super) history: Vec<HistoryEntry>,
}

/// A rule and what it decides in a second.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(super) struct RuleRate {
    pub(super) rule: String,
    pub(super) direction: String,
    pub(super) action: String,
    pub(super) origin: String,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) packets_per_second: f64,
    pub(super) bytes_per_second: f64,
}

/// A reason and what it drops in a second.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(super) struct ReasonRate {
    pub(super) reason: String,
    pub(super) direction: &'static str,
    pub(super) packets: u64,
    pub(super) packets_per_second: f64,
}

#[expect(clippy::cast_precision_loss, reason = "rates are shown with two digits")]
fn per_second(before: u64, now: u64, seconds: f64) -> f64 {
    // A rule that came anew begins at zero.
    if seconds > 0.0 {
        now.saturating_sub(before) as f64 / seconds
    } else {
        0.0
    }
}

fn elapsed(before: Option<&Sample>, now: &Sample) -> f64 {
    before.map_or(0.0, |before| now.seconds - before.seconds)
}

/// Every rule and default, in the order of the policy.
pub(super) fn rules(before: Option<&Sample>, now: &Sample) -> Vec<RuleRate> {
    let seconds = elapsed(before, now);
    let rules = now.counters.rules.iter();
    rules
        .map(|rule| {
            let former = before.and_then(|before| {
                let mut rules = before.counters.rules.iter();
                rules.find(|former| former.rule == rule.rule && former.direction == rule.direction)
            });
            let former = former.map_or(rule.total, |former| former.total);
            RuleRate {
                rule: rule.rule.clone(),
                direction: rule.direction.clone(),
                action: rule.action.clone(),
                origin: rule.origin.clone(),
                packets: rule.total.packets,
                bytes: rule.total.bytes,
                packets_per_second: per_second(former.packets, rule.total.packets, seconds),
                bytes_per_second: per_second(former.bytes, rule.total.bytes, seconds),
            }
        })
        .collect()
}

/// Every reason that has dropped anything, the busiest first.
pub(super) fn drops(before: Option<&Sample>, now: &Sample) -> Vec<ReasonRate> {
    let seconds = elapsed(before, now);
    let dropping = now.counters.reasons.iter().filter(|reason| reason.drops);
    let mut rates: Vec<ReasonRate> = dropping
        .map(|reason| {
            let former = before.map(|before| {
                let mut reasons = before.counters.reasons.iter();
                let former =
                    reasons.find(|former| former.reason == reason.reason && former.hook == reason.hook);
                former.map_or(Packets::default(), |former| former.total)
            });
            let former = former.unwrap_or(reason.total);
            ReasonRate {
                reason: reason.reason.clone(),
                direction: if reason.hook == "ingress" { "in" } else { "out" },
                packets: reason.total.packets,
                packets_per_second: per_second(former.packets, reason.total.packets, seconds),
            }
        })
        .collect();
    rates.sort_by(|one, other| {
        let order = other.packets_per_second.total_cmp(&one.packets_per_second);
        order.then(other.packets.cmp(&one.packets))
    });
    rates
}

/// A rate in at most six characters.
pub(super) fn short(rate: f64) -> String {
    match rate {
        rate if rate <= 0.0 => "0".to_owned(),
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate if rate < 9_999.5 => format!("{rate:.0}"),
        rate if rate < 999_950.0 => format!("{:.1}k", rate / 1e3),
        rate if rate < 999_950_000.0 => format!("{:.1}M", rate / 1e6),
        rate => format!("{:.1}G", rate / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        for (rate, text) in [
            (0.0, "0"),
            (0.34, "0.3"),
            (12.6, "13"),
            (9_999.0, "9999"),
            (10_000.0, "10.0k"),
            (23_700_000.0, "23.7M"),
            (2e9, "2.0G"),
        ] {
            assert_eq!(short(rate), text);
        }
    }

    #[test]
    fn a_counter_that_begins_anew_has_no_negative_rate() {
        assert!(per_second(100, 5, 1.0).abs() < f64::EPSILON);
        assert!((per_second(100, 150, 2.0) - 25.0).abs() < f64::EPSILON);
        assert!(per_second(100, 150, 0.0).abs() < f64::EPSILON);
    }
}
