//! From the layers of one host to its rules: names become addresses, sentences become directions.

use std::sync::Arc;

use super::{
    layers,
    link::{Linked, LinkedLayer, LinkedRule, LinkedStatement},
    lists::Lists,
    model::{Direction, Failsafe, Matches, Origin, ProtocolMatch, Rule, ValidPolicy},
    settings,
    view::{Half, View},
};
use crate::diagnostic::{Code, Diagnostic, SourceSet};

/// A policy that is resolved, but not yet examined as a whole.
#[derive(Debug)]
pub(super) struct Resolved<'a> {
    /// The rules and everything else.
    pub(super) policy: ValidPolicy,
    /// For each rule of the policy, the sentence that it comes from.
    pub(super) written: Vec<&'a LinkedRule>,
    /// Sentences in force that do not concern this host.
    pub(super) silent: Vec<&'a LinkedRule>,
    /// The layers that it was made of.
    pub(super) layers: Vec<&'a LinkedLayer>,
}

/// Resolves all layers that concern the host or role of the view.
pub(super) fn resolve<'a>(
    linked: &'a Linked,
    view: &View<'_>,
    failsafe: &Failsafe,
    lists: &Lists,
    sources: &SourceSet,
    found: &mut Vec<Diagnostic>,
) -> Resolved<'a> {
    let host = view.host.map(|host| host.name.clone());
    let host_layer = host.as_ref().and_then(|host| linked.hosts.get(host));
    let layers: Vec<_> = linked
        .base
        .iter()
        .chain(linked.roles.get(&view.role))
        .chain(host_layer)
        .chain(&linked.timed)
        .collect();
    let (mut rules, mut written, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for rule in layers::stacked(&layers, &linked.faulty_rules, found) {
        let Some(statement) = &rule.statement else {
            continue;
        };
        let before = found.len();
        let resolved = resolve_rule(rule, statement, view, sources, found);
        if resolved.is_empty() && found.len() == before {
            silent.push(rule);
        }
        for resolved in resolved {
            rules.push(resolved);
            written.push(rule);
        }
    }
    let settings = settings::merged(&layers, view, found);
    let policy = ValidPolicy {
        role: view.role.clone(),
        host,
        settings,
        failsafe: failsafe.clone(),
        rules,
        lists: lists.of(&layers, sources, found),
    };
    Resolved {
        policy,
        written,
        silent,
        layers,
    }
}

fn resolve_rule(
    rule: &LinkedRule,
    statement: &LinkedStatement,
    view: &View<'_>,
    sources: &SourceSet,
    found: &mut Vec<Diagnostic>,
) -> Vec<Rule> {
    let entry = &rule.entry;
    let meaning = view.meaning(&statement.written.parties);
    if meaning.names_nobody {
        found.push(nobody(rule, statement));
    }
    let is_pair = meaning.halves.len() > 1;
    let position = sources.position(&entry.whole);
    let origin = Origin {
        file: sources.file(entry.whole.file).name().clone(),
        line: position.line,
        span: entry.whole.span.clone(),
    };
    let mut rules = Vec::new();
    for half in meaning.halves {
        let matches = conditions(statement, &half);
        if !can_match(&matches) {
            found.push(no_common_family(rule, statement));
            continue;
        }
        rules.push(Rule {
            name: rule_name(&entry.name.value, half.direction, is_pair),
            origin: origin.clone(),
            direction: half.direction,
            matches,
            action: statement.written.action.value,
            log: entry.log,
            owner: entry.owner.clone(),
            reason: entry.reason.clone(),
            review: entry.review.as_ref().map(|review| review.value),
            term: entry.term,
        });
    }
    rules
}

fn rule_name(name: &Arc<str>, direction: Direction, is_pair: bool) -> Arc<str> {
    match direction {
        Direction::In if is_pair => format!("{name}/in").into(),
        Direction::Out if is_pair => format!("{name}/out").into(),
        _ => name.clone(),
    }
}

/// The conditions of one direction of a statement.
pub(super) fn conditions(statement: &LinkedStatement, half: &Half) -> Matches {
    let globs = statement.written.interfaces.as_ref().map(|globs| {
        let mut globs: Vec<_> = globs.iter().map(|glob| glob.value.to_string()).collect();
        globs.sort_unstable();
        globs.dedup();
        globs
    });
    Matches {
        protocols: statement.protocols.clone(),
        source: half.source.clone(),
        destination: half.destination.clone(),
        interfaces: globs,
        vlans: statement.written.vlans.as_ref().map(|vlans| vlans.value.clone()),
    }
}

/// Whether there is a family in which addresses and protocols can all hold.
pub(super) fn can_match(matches: &Matches) -> bool {
    let sides = [&matches.source, &matches.destination];
    let v4 = sides
        .iter()
        .all(|set| set.as_ref().is_none_or(|set| !set.v4.is_empty()))
        && matches
            .protocols
            .iter()
            .any(|protocol| !matches!(protocol, ProtocolMatch::Icmp6(_)));
    let v6 = sides
        .iter()
        .all(|set| set.as_ref().is_none_or(|set| !set.v6.is_empty()))
        && matches
            .protocols
            .iter()
            .any(|protocol| !matches!(protocol, ProtocolMatch::Icmp4(_)));
    v4 || v6
}

fn nobody(rule: &LinkedRule, statement: &LinkedStatement) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(
        Code::EmptyMatch,
        &rule.entry.name.place,
        format!("the rule `{}` can match no packet", rule.entry.name.value),
    );
    for members in statement.written.parties.members() {
        diagnostic = diagnostic.also(&members.key, "one of these lists holds no address");
    }
    diagnostic.hint("a role or group may have no hosts yet, or everything that is added is taken away again")
}

fn no_common_family(rule: &LinkedRule, statement: &LinkedStatement) -> Diagnostic {
    Diagnostic::new(
        Code::EmptyMatch,
        &statement.written.action.place,
        format!("the rule `{}` can match no packet", rule.entry.name.value),
    )
    .label("source, destination and protocol are never of one address family")
    .hint("give both sides addresses of the same family, and ICMPv6 only to IPv6")
}
