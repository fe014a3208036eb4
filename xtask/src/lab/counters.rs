//! What an agent has counted, and what was added between two moments.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// Packets by what decided about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// By rule; `(default in)` and the like where no rule matched.
    rules: BTreeMap<String, u64>,
    /// By reason, both hooks together.
    reasons: BTreeMap<String, u64>,
    /// Dropped or rejected, on all interfaces, in both directions.
    lost: u64,
}

impl Counters {
    /// Reads what `fwctl counters --json` prints.
    pub(crate) fn parse(report: &Value) -> Result<Self> {
        let mut counters = Self::default();
        for rule in list(&report["rules"])? {
            *counters.rules.entry(text(&rule["rule"])?).or_default() += number(&rule["packets"])?;
        }
        for reason in list(&report["reasons"])? {
            *counters.reasons.entry(text(&reason["reason"])?).or_default() += number(&reason["packets"])?;
        }
        for interface in list(&report["interfaces"])? {
            for outcome in ["dropped", "rejected"] {
                counters.lost += number(&interface[outcome]["packets"])?;
            }
        }
        Ok(counters)
    }

    /// Packets that this rule or reason has decided about.
    pub(crate) fn of(&self, name: &str) -> u64 {
        let counters = self.rules.get(name).or_else(|| self.reasons.get(name));
        counters.copied().unwrap_or(0)
    }

    /// Packets dropped or rejected, whatever decided it.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    /// The counters that are lower than they were before; none ever should be.
    pub(crate) fn lower_than(&self, before: &Self) -> Vec<String> {
        let names = before.rules.keys().chain(before.reasons.keys());
        names
            .filter(|name| self.of(name) < before.of(name))
            .cloned()
            .collect()
    }
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("the counters lack a list")
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("a counter has no name")?.to_owned())
}

fn number(value: &Value) -> Result<u64> {
    value.as_u64().context("a counter has no number")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counters(ssh: u64, default: u64) -> Counters {
        let side = |packets: u64| json!({ "packets": packets, "bytes": packets * 60 });
        Counters::parse(&json!({
            "rules": [
                { "rule": "ssh", "packets": ssh },
                { "rule": "(default in)", "packets": default },
            ],
            "reasons": [
                { "reason": "flow", "hook": "ingress", "packets": 3 },
                { "reason": "flow", "hook": "egress", "packets": 4 },
            ],
            "interfaces": [
                { "passed": side(9), "dropped": side(default), "rejected": side(1) },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn counters_are_read_by_name() {
        let counters = counters(5, 2);
        assert_eq!(counters.of("ssh"), 5);
        assert_eq!(counters.of("flow"), 7);
        assert_eq!(counters.of("no-such-rule"), 0);
        assert_eq!(counters.lost(), 3);
    }

    #[test]
    fn a_counter_that_fell_is_named() {
        assert_eq!(counters(5, 2).lower_than(&counters(6, 2)), ["ssh"]);
        assert!(counters(6, 2).lower_than(&counters(5, 2)).is_empty());
    }

    #[test]
    fn something_else_is_an_error() {
        assert!(Counters::parse(&json!({ "error": "no" })).is_err());
    }
}
