//! What one policy says differently than another, by name and not by line.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

use super::{
    list::Entries,
    model::{PolicySettings, Rule, ValidPolicy},
};

/// What has become of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleChange<'a> {
    /// It is new.
    Added(&'a Rule),
    /// It is gone.
    Removed(&'a Rule),
    /// It says something else.
    Changed {
        /// What it said.
        before: &'a Rule,
        /// What it says.
        after: &'a Rule,
        /// Whether it is tried at another place among the others as well.
        moved: bool,
    },
    /// It says the same, and is tried at another place among the others.
    Moved(&'a Rule),
}

/// What has become of a block list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListChange {
    /// Its name.
    pub name: Arc<str>,
    /// How many entries it had; `None` where it is new.
    pub before: Option<usize>,
    /// How many it has; `None` where it is gone.
    pub after: Option<usize>,
    /// Entries that only the new one has.
    pub added: Vec<String>,
    /// Entries that only the old one has.
    pub removed: Vec<String>,
}

/// Rules in the order of the new policy, those that are gone last.
#[must_use]
pub fn rules<'a>(before: &'a ValidPolicy, after: &'a ValidPolicy) -> Vec<RuleChange<'a>> {
    let old: BTreeMap<&str, (usize, &Rule)> = by_name(before);
    let new: BTreeMap<&str, (usize, &Rule)> = by_name(after);
    let moved = moved(&old, after);
    let mut changes = Vec::new();
    for rule in &after.rules {
        let has_moved = moved.contains(&*rule.name);
        match old.get(&*rule.name) {
            None => changes.push(RuleChange::Added(rule)),
            Some((_, former)) if !says_the_same(former, rule) => changes.push(RuleChange::Changed {
                before: former,
                after: rule,
                moved: has_moved,
            }),
            Some(_) if has_moved => changes.push(RuleChange::Moved(rule)),
            Some(_) => {}
        }
    }
    let gone = before.rules.iter().filter(|rule| !new.contains_key(&*rule.name));
    changes.extend(gone.map(RuleChange::Removed));
    changes
}

/// Whether two rules say the same, wherever they are written.
#[must_use]
pub fn says_the_same(one: &Rule, other: &Rule) -> bool {
    let placed = Rule {
        origin: other.origin.clone(),
        ..one.clone()
    };
    placed == *other
}

fn by_name(policy: &ValidPolicy) -> BTreeMap<&str, (usize, &Rule)> {
    let rules = policy.rules.iter().enumerate();
    rules.map(|(place, rule)| (&*rule.name, (place, rule))).collect()
}

/// The fewest names that have to be taken out for the others to stand in the same order: all but a longest ascending
/// subsequence of the old places.
fn moved<'a>(old: &BTreeMap<&str, (usize, &Rule)>, after: &'a ValidPolicy) -> BTreeSet<&'a str> {
    let places: Vec<(&str, usize)> = after
        .rules
        .iter()
        .filter_map(|rule| Some((&*rule.name, old.get(&*rule.name)?.0)))
        .collect();
    // The last of the best subsequence of each length, and what comes before each (Knuth; Fredman 1975).
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(places.len());
    for (index, (_, place)) in places.iter().enumerate() {
        let length = ends.partition_point(|end| places[*end].1 < *place);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(index);
        } else {
            ends[length] = index;
        }
    }
    let mut stays = BTreeSet::new();
    let mut at = ends.last().copied();
    while let Some(index) = at {
        stays.insert(index);
        at = before[index];
    }
    let all = places.iter().enumerate();
    all.filter(|(index, _)| !stays.contains(index))
        .map(|(_, (name, _))| *name)
        .collect()
}

/// Block lists that differ.
#[must_use]
pub fn lists(before: &ValidPolicy, after: &ValidPolicy) -> Vec<ListChange> {
    let mut changes = Vec::new();
    for list in &after.lists {
        let former = before.lists.iter().find(|former| former.name == list.name);
        if former.is_some_and(|former| former.entries == list.entries) {
            continue;
        }
        let nothing = Entries::default();
        let old = former.map_or(&nothing, |former| &*former.entries);
        changes.push(ListChange {
            name: list.name.clone(),
            before: former.map(|former| former.entries.len()),
            after: Some(list.entries.len()),
            added: only_in(&list.entries, old),
            removed: only_in(old, &list.entries),
        });
    }
    let gone = before
        .lists
        .iter()
        .filter(|list| after.lists.iter().all(|other| other.name != list.name));
    changes.extend(gone.map(|list| ListChange {
        name: list.name.clone(),
        before: Some(list.entries.len()),
        after: None,
        added: Vec::new(),
        removed: Vec::new(),
    }));
    changes
}

fn only_in(one: &Entries, other: &Entries) -> Vec<String> {
    let v4: BTreeSet<_> = other.v4.iter().collect();
    let v6: BTreeSet<_> = other.v6.iter().collect();
    let v4 = one
        .v4
        .iter()
        .filter(|entry| !v4.contains(entry))
        .map(|(first, last)| {
            let [first, last] = [*first, *last].map(std::net::Ipv4Addr::from);
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        });
    let v6 = one
        .v6
        .iter()
        .filter(|entry| !v6.contains(entry))
        .map(|prefix| format!("{}/{}", std::net::Ipv6Addr::from(prefix.first()), prefix.length));
    v4.chain(v6).collect()
}

/// Everything beside rules and lists, a difference in each line.
#[must_use]
pub fn settings(before: &ValidPolicy, after: &ValidPolicy) -> Vec<String> {
    let mut lines = Vec::new();
    let (old, new): (&PolicySettings, &PolicySettings) = (&before.settings, &after.settings);
    let names = |names: &[String]| format!("[{}]", names.join(", "));
    note(&mut lines, "role", &before.role, &after.role);
    note(&mut lines, "default in", &old.defaults.input, &new.defaults.input);
    note(
        &mut lines,
        "default out",
        &old.defaults.output,
        &new.defaults.output,
    );
    note(
        &mut lines,
        "default forward",
        &old.defaults.forward,
        &new.defaults.forward,
    );
    note(
        &mut lines,
        "filtered interfaces",
        &names(&old.interfaces),
        &names(&new.interfaces),
    );
    if old.timers != new.timers {
        lines.push("the idle times of flows".to_owned());
    }
    if old.forwarded != new.forwarded {
        lines.push("what is forwarded".to_owned());
    }
    for (name, old, new) in [
        (
            "tcp-midflow-pickup",
            old.tcp_midflow_pickup,
            new.tcp_midflow_pickup,
        ),
        ("keep-live-flows", old.keep_live_flows, new.keep_live_flows),
        (
            "allow-icmp-redirects",
            old.allow_icmp_redirects,
            new.allow_icmp_redirects,
        ),
        (
            "allow-source-routing",
            old.allow_source_routing,
            new.allow_source_routing,
        ),
    ] {
        note(&mut lines, name, &old, &new);
    }
    note(
        &mut lines,
        "further EtherTypes",
        &old.allowed_ether_types,
        &new.allowed_ether_types,
    );
    if before.failsafe != after.failsafe {
        lines.push("the failsafe".to_owned());
    }
    lines
}

fn note<T: PartialEq + Debug>(lines: &mut Vec<String>, name: &str, old: &T, new: &T) {
    if old != new {
        let text = |value: &T| format!("{value:?}").to_lowercase().replace('"', "");
        lines.push(format!("{name}: {} → {}", text(old), text(new)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnostic::{SourceFile, SourceSet},
        policy::{Options, Scope, Target, check},
    };

    fn policy(rules: &str) -> ValidPolicy {
        let base = format!("layer = \"base\"\ninterfaces = [\"eth*\"]\n{rules}");
        let sources: SourceSet = [
            SourceFile::new("base.toml", base),
            SourceFile::new("web.toml", "layer = \"role web\"\n"),
        ]
        .into_iter()
        .collect();
        let options = Options {
            scope: Scope::One(Target {
                role: Some("web".into()),
                host: None,
            }),
            ..Options::default()
        };
        let checked = check(sources, &options);
        let problem = format!("{:?}", checked.diagnostics);
        checked.policies.into_iter().next().expect(&problem)
    }

    fn rule(name: &str, port: u16) -> String {
        format!("[[rule]]\nname = \"{name}\"\nallow = \"tcp/{port}\"\nfrom = \"any\"\n")
    }

    fn told(before: &[(&str, u16)], after: &[(&str, u16)]) -> Vec<String> {
        let text = |rules: &[(&str, u16)]| {
            rules
                .iter()
                .map(|(name, port)| rule(name, *port))
                .collect::<String>()
        };
        let (before, after) = (policy(&text(before)), policy(&text(after)));
        rules(&before, &after)
            .iter()
            .map(|change| match change {
                RuleChange::Added(rule) => format!("+{}", rule.name),
                RuleChange::Removed(rule) => format!("-{}", rule.name),
                RuleChange::Changed { after, moved, .. } => {
                    format!("~{}{}", after.name, if *moved { ">" } else { "" })
                }
                RuleChange::Moved(rule) => format!(">{}", rule.name),
            })
            .collect()
    }

    #[test]
    fn rules_are_told_by_name_and_as_few_as_can_be_have_moved() {
        let four = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];
        assert_eq!(told(&four, &four), [""; 0]);
        assert_eq!(told(&four, &[("d", 4), ("a", 1), ("b", 2), ("c", 3)]), [">d"]);
        assert_eq!(
            told(&four, &[("a", 1), ("x", 9), ("b", 7), ("d", 4)]),
            ["+x", "~b", "-c"]
        );
        assert_eq!(told(&four, &[("b", 2), ("c", 3), ("d", 4), ("a", 8)]), ["~a>"]);
        assert_eq!(told(&[], &[("a", 1)]), ["+a"]);
    }

    #[test]
    fn settings_are_told_with_both_values() {
        let (before, mut after) = (policy(""), policy(""));
        assert_eq!(settings(&before, &after), [""; 0]);
        after.settings.interfaces = vec!["wan0".into()];
        after.settings.keep_live_flows = true;
        assert_eq!(
            settings(&before, &after),
            [
                "filtered interfaces: [eth*] → [wan0]",
                "keep-live-flows: false → true"
            ]
        );
    }
}
