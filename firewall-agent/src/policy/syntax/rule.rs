//! `[[rule]]` entries.

use std::sync::Arc;

use toml::value::Date;

use super::{
    super::model::{LogRate, Term},
    findings::{Findings, Located, Problem},
    name,
    statement::{self, Statement},
    table::{Keys, Table},
};
use crate::diagnostic::{Code, Diagnostic, Place};

/// One rule as it is written.
#[derive(Debug, Clone)]
pub(crate) struct RuleEntry {
    /// From its header to its last value.
    pub(crate) whole: Place,
    /// The operator's name for it.
    pub(crate) name: Located<Arc<str>>,
    /// What it says; absent only where it switches off a rule of an earlier layer.
    pub(crate) statement: Option<Statement>,
    /// Whether it takes part.
    pub(crate) enabled: bool,
    /// Whether it takes the place of an earlier layer's rule of the same name.
    pub(crate) overrides: bool,
    /// The rule of an earlier layer before which it is tried.
    pub(crate) before: Option<Located<Arc<str>>>,
    /// The rule of an earlier layer behind which it is tried: in the layer of rules that end.
    pub(crate) after: Option<Located<Arc<str>>>,
    /// How long it holds: in the layer of rules that end, and there of every rule.
    pub(crate) term: Option<Term>,
    /// Log events.
    pub(crate) log: Option<LogRate>,
    /// Who answers for it.
    pub(crate) owner: Option<Arc<str>>,
    /// Why it is there.
    pub(crate) reason: Option<Arc<str>>,
    /// When somebody should look at it again.
    pub(crate) review: Option<Located<Date>>,
}

const ENDS: &str =
    "a rule that ends by itself stands in no policy file: `fwctl rule add … --for 2h` adds one";

/// Of rules that end by themselves.
const TIMED_KEYS: Keys = Keys {
    what: "a rule that ends by itself",
    known: &[
        "name",
        "allow",
        "drop",
        "reject",
        "from",
        "to",
        "among",
        "multicast",
        "forward",
        "interface",
        "vlan",
        "from_port",
        "log",
        "owner",
        "reason",
        "review",
        "enabled",
        "before",
        "after",
        "since",
        "expires",
    ],
    reserved: &[],
    instead: &[],
};

pub(super) const KEYS: Keys = Keys {
    what: "a rule",
    known: &[
        "name",
        "allow",
        "drop",
        "reject",
        "from",
        "to",
        "among",
        "multicast",
        "forward",
        "interface",
        "vlan",
        "from_port",
        "log",
        "owner",
        "reason",
        "review",
        "enabled",
        "override",
        "before",
    ],
    reserved: &[
        ("limit", "rate and connection limits"),
        ("set", "address lists that are kept outside the policy"),
    ],
    instead: &[
        ("port", "it is part of the verdict, as in `allow = \"tcp/8080\"`"),
        (
            "ports",
            "it is part of the verdict, as in `allow = [\"tcp/80\", \"tcp/443\"]`",
        ),
        (
            "protocol",
            "it is part of the verdict, as in `allow = \"udp/53\"` or `allow = \"protocol/112\"`",
        ),
        ("service", "it is part of the verdict, as in `allow = \"https\"`"),
        ("source", "write `from`"),
        ("destination", "write `to`"),
        ("action", "say it in one of the keys `allow`, `drop`, `reject`"),
        (
            "direction",
            "write `from` for incoming packets, `to` for outgoing ones",
        ),
        ("expires", ENDS),
        ("until", ENDS),
        ("for", ENDS),
    ],
};

/// Reads all rules: those without faults, and the names of all.
pub(super) fn read_all(
    file: &Table<'_>,
    is_timed: bool,
    findings: &mut Findings,
) -> (Vec<RuleEntry>, Vec<Located<Arc<str>>>) {
    let mut names = Vec::new();
    let mut rules = Vec::new();
    let keys = if is_timed { &TIMED_KEYS } else { &KEYS };
    for table in file.tables("rule", keys, findings) {
        let before = findings.count();
        let mut rule = read(&table, &mut names, findings);
        if is_timed {
            let term = term(&table, findings);
            rule = rule.map(|rule| RuleEntry { term, ..rule });
        }
        if findings.count() == before {
            rules.extend(rule);
        }
    }
    (rules, names)
}

fn read(table: &Table<'_>, names: &mut Vec<Located<Arc<str>>>, findings: &mut Findings) -> Option<RuleEntry> {
    let name = table.required_string("name", "a rule", findings);
    if let Some(name) = &name
        && findings
            .check(&name.place, name::check_new(&name.value))
            .is_some()
    {
        names.push(name.clone());
    }
    let enabled = table
        .boolean("enabled", findings)
        .is_none_or(|enabled| enabled.value);
    let overrides = table
        .boolean("override", findings)
        .is_some_and(|overrides| overrides.value);
    let switches_off = overrides && !enabled && !statement::is_present(table);
    let statement = if switches_off {
        None
    } else {
        Some(statement::read(table, "a rule", findings))
    };
    let before = table.string("before", findings);
    if overrides && let Some(before) = &before {
        findings.push(
            Diagnostic::new(
                Code::Contradiction,
                &before.place,
                "`before` and `override` exclude each other",
            )
            .hint("a rule with `override = true` is tried where the rule was that it replaces"),
        );
    }
    let after = table.string("after", findings);
    let log = table.string("log", findings);
    let log = log.and_then(|text| findings.check(&text.place, log_rate(&text.value)));
    let owner = table.string("owner", findings).map(|owner| owner.value);
    let reason = table.string("reason", findings).map(|reason| reason.value);
    let review = table.date("review", findings);
    let statement = match statement {
        None => None,
        Some(read) => Some(read?),
    };
    Some(RuleEntry {
        whole: findings.place(table.place.span.start..table.end()),
        name: name?,
        statement,
        enabled,
        overrides,
        before,
        after,
        term: None,
        log,
        owner,
        reason,
        review,
    })
}

/// How long a rule holds. Without an end it would hold for good, so it has to say both.
fn term(table: &Table<'_>, findings: &mut Findings) -> Option<Term> {
    for key in ["since", "expires"] {
        if table.value(key).is_none() {
            let message = format!("a rule that ends by itself needs the key `{key}`");
            findings.push(Diagnostic::new(Code::MissingKey, &table.place, message));
        }
    }
    let since = table.moment("since", findings)?;
    let until = table.moment("expires", findings)?;
    if until.value <= since.value {
        findings.push(Diagnostic::new(
            Code::BadValue,
            &until.place,
            "the rule would end before it begins",
        ));
        return None;
    }
    Some(Term {
        since: since.value,
        until: until.value,
    })
}

/// `N/s`: at most N events in each second.
fn log_rate(text: &str) -> Result<LogRate, Problem> {
    let number = text
        .strip_suffix("/s")
        .filter(|number| !number.starts_with(['0', '+']));
    match number.and_then(|number| number.parse().ok()) {
        Some(events_per_second) => Ok(LogRate { events_per_second }),
        None => Err(
            Problem::new(format!("`{}` is not a log rate", text.escape_debug())).hint(format!(
                "write a number of events per second from 1 to {}, such as \"10/s\"",
                u16::MAX
            )),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_rates() {
        assert_eq!(
            log_rate("10/s"),
            Ok(LogRate {
                events_per_second: 10
            })
        );
        for text in [
            "0/s", "/s", "10", "10/m", "65536/s", "-1/s", "+1/s", "010/s", "1.5/s",
        ] {
            assert!(log_rate(text).is_err(), "{text}");
        }
    }
}
