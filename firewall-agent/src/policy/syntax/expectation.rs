//! `[[expect]]` entries: sentences that must be true of the policy.

use std::sync::Arc;

use super::{
    findings::{Findings, Located},
    member::Who,
    statement::{self, Parties, Statement},
    table::{Keys, Table},
    what::What,
};
use crate::{
    diagnostic::{Code, Diagnostic},
    policy::model::ProtocolMatch,
};

/// What `rule = …` says where no rule is to decide.
pub(crate) const DEFAULT_RULE: &str = "default";

/// One expectation as it is written.
#[derive(Debug, Clone)]
pub(crate) struct ExpectationEntry {
    /// What has to be true.
    pub(crate) statement: Statement,
    /// The rule that has to decide.
    pub(crate) rule: Option<Located<Arc<str>>>,
    /// The hosts or roles that it is about; all that the layer is for if absent.
    pub(crate) on: Option<Vec<Located<Arc<str>>>>,
}

pub(super) const KEYS: Keys = Keys {
    what: "an expectation",
    known: &[
        "allow",
        "drop",
        "reject",
        "from",
        "to",
        "forward",
        "interface",
        "vlan",
        "from_port",
        "rule",
        "on",
    ],
    reserved: &[],
    instead: &[
        ("verdict", "say it in one of the keys `allow`, `drop`, `reject`"),
        ("host", "write `on`"),
        ("role", "write `on`"),
    ],
};

/// Reads the expectations without faults.
pub(super) fn read_all(file: &Table<'_>, findings: &mut Findings) -> Vec<ExpectationEntry> {
    let mut expectations = Vec::new();
    for table in file.tables("expect", &KEYS, findings) {
        let before = findings.count();
        let expectation = read(&table, findings);
        if findings.count() == before {
            expectations.extend(expectation);
        }
    }
    expectations
}

fn read(table: &Table<'_>, findings: &mut Findings) -> Option<ExpectationEntry> {
    let statement = statement::read(table, "an expectation", findings);
    let rule = table.string("rule", findings);
    let on = table.strings("on", findings);
    let statement = statement?;
    refuse_any(&statement, findings);
    Some(ExpectationEntry { statement, rule, on })
}

/// An expectation is tried with packets, so that it has to name what and who.
fn refuse_any(statement: &Statement, findings: &mut Findings) {
    for what in &statement.what {
        if what.value == What::Protocol(ProtocolMatch::Any) {
            findings.push(
                Diagnostic::new(
                    Code::BadValue,
                    &what.place,
                    "an expectation cannot be about `any` protocol",
                )
                .hint("name a service, a port or a message"),
            );
        }
    }
    if matches!(
        &statement.parties,
        Parties::Forward { from: None, .. } | Parties::Forward { to: None, .. }
    ) {
        findings.push(Diagnostic::new(
            Code::MissingKey,
            &statement.action.place,
            "an expectation about forwarded traffic needs `from` and `to`",
        ));
    }
    for item in statement.parties.members().flat_map(|members| &members.items) {
        if item.value.who == Who::Any {
            findings.push(
                Diagnostic::new(
                    Code::BadValue,
                    &item.place,
                    "an expectation cannot be about `any` address",
                )
                .hint("name somebody, or write `stranger` for an address that no rule names"),
            );
        }
    }
}
