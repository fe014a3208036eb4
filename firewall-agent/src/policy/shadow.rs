//! Says which rules never decide, and why.

use super::{
    coverage::{Cover, covered},
    link::LinkedRule,
    model::Rule,
    resolve::Resolved,
};
use crate::diagnostic::{Code, Diagnostic};

/// How many of several earlier rules are pointed at.
const SHOWN: usize = 3;

/// Notes every rule that never decides.
pub(super) fn shadowed(resolved: &Resolved<'_>, found: &mut Vec<Diagnostic>) {
    let rules = &resolved.policy.rules;
    for (index, cover) in covered(rules) {
        let (rule, written) = (&rules[index], resolved.written[index]);
        let earlier = |at: usize| (&rules[at], resolved.written[at]);
        found.push(match cover {
            Cover::Same(at) => same(rule, written, earlier(at)),
            Cover::One(at) if rules[at].action == rule.action => redundant(rule, written, earlier(at)),
            Cover::One(at) => contradicted(rule, written, earlier(at)),
            Cover::Several(at) => several(rule, written, &at, resolved),
        });
    }
}

type Earlier<'a> = (&'a Rule, &'a LinkedRule);

fn same(rule: &Rule, written: &LinkedRule, (earlier, earlier_written): Earlier<'_>) -> Diagnostic {
    Diagnostic::new(
        Code::DuplicateRule,
        &written.entry.name.place,
        format!(
            "`{}` and `{}` match exactly the same packets",
            earlier.name, rule.name
        ),
    )
    .label("never decides")
    .also(&earlier_written.entry.name.place, "decides first")
    .hint("delete one of them")
}

fn redundant(rule: &Rule, written: &LinkedRule, (earlier, earlier_written): Earlier<'_>) -> Diagnostic {
    Diagnostic::new(
        Code::Redundant,
        &written.entry.name.place,
        format!(
            "`{}` never decides, since `{}` comes first and says the same",
            rule.name, earlier.name
        ),
    )
    .also(&earlier_written.entry.name.place, "takes all its packets")
    .hint("delete it, or put it before the other if its counter or log is wanted")
}

fn contradicted(rule: &Rule, written: &LinkedRule, (earlier, earlier_written): Earlier<'_>) -> Diagnostic {
    let hint = if earlier_written.entry.name.place.file == written.entry.name.place.file {
        "put it before the other rule, or make the other narrower".to_owned()
    } else {
        format!(
            "say `before = \"{}\"`, or make the other rule narrower",
            earlier_written.entry.name.value
        )
    };
    Diagnostic::new(
        Code::Shadowed,
        &written.entry.name.place,
        format!(
            "`{}` never decides, since `{}` comes first and says otherwise",
            rule.name, earlier.name
        ),
    )
    .also(&earlier_written.entry.name.place, "takes all its packets")
    .hint(hint)
}

fn several(rule: &Rule, written: &LinkedRule, earlier: &[usize], resolved: &Resolved<'_>) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(
        Code::Unreachable,
        &written.entry.name.place,
        format!(
            "`{}` never decides, since {} earlier rules together take all its packets",
            rule.name,
            earlier.len()
        ),
    );
    for at in earlier.iter().take(SHOWN) {
        diagnostic = diagnostic.also(
            &resolved.written[*at].entry.name.place,
            "takes some of its packets",
        );
    }
    diagnostic.hint("delete it, or put it before the others")
}
