//! Checks a set of files for one host, one role, or all that they name.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

pub use toml::value::Date;

use super::{
    expect,
    link::{Linked, LinkedExpectation, LinkedRule, link},
    lint,
    lists::{self, Lists},
    model::{Failsafe, ValidPolicy},
    resolve::{self, Resolved},
    shadow, stranger, syntax,
    target::{Scope, views},
    view::View,
};
use crate::diagnostic::{Code, Diagnostic, FileId, Place, SourceSet};

/// What a check has to know beside the files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// For whom.
    pub scope: Scope,
    /// Management access from the agent's settings; `None` where there is no agent to ask.
    pub failsafe: Option<Failsafe>,
    /// The current day, for review dates; they are not looked at without.
    pub today: Option<Date>,
    /// Whether the kernel of the host that the policy is for forwards packets.
    pub kernel_forwards: bool,
}

/// What came out.
#[derive(Debug)]
pub struct Checked {
    /// The texts that the findings point into.
    pub sources: SourceSet,
    /// Everything that was found, by file and place, layers that are missing last.
    pub diagnostics: Vec<Diagnostic>,
    /// The policies, one for each host or role; empty if there is an error.
    pub policies: Vec<ValidPolicy>,
}

impl Checked {
    /// Whether the policy cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Checks the files as one policy. Needs no files, no root and no agent.
#[must_use]
pub fn check(sources: SourceSet, options: &Options) -> Checked {
    let (linked, mut found) = read_all(&sources);
    let faults = Faults::of(&linked, &found, &sources);
    let lists = Lists::read(&sources, &mut found);
    let outcome = check_targets(&linked, &lists, options, faults, &sources);
    found.extend(outcome.found);
    // What no file says comes behind what a file says wrongly: who writes one role's file has not written the others yet.
    found.sort_by_key(|one| {
        let place = &one.primary.place;
        (
            one.code == Code::LayerMissing,
            place.file,
            place.span.start,
            one.code,
        )
    });
    let policies = if has_errors(&found) {
        Vec::new()
    } else {
        outcome.policies
    };
    Checked {
        sources,
        diagnostics: found,
        policies,
    }
}

fn read_all(sources: &SourceSet) -> (Linked, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let mut documents = Vec::new();
    for (file, source) in sources.iter() {
        if let Some(fault) = source.fault() {
            let message = format!("cannot read {}: {fault}", source.name());
            found.push(Diagnostic::new(
                Code::Unreadable,
                &Place::new(file, 0..0),
                message,
            ));
            continue;
        }
        let (document, faults) = syntax::parse(file, source);
        documents.push(document);
        found.extend(faults);
    }
    let mut undefined = Vec::new();
    let linked = link(documents, &mut undefined);
    // A file that could not be read may define anything.
    let complete = sources.iter().all(|(_, source)| source.fault().is_none());
    undefined.retain(|one| complete || one.code != Code::UndefinedName);
    found.extend(undefined);
    (linked, found)
}

fn has_errors(found: &[Diagnostic]) -> bool {
    found.iter().any(Diagnostic::is_error)
}

/// What the faults in the files leave to be said about the hosts: a finding that could itself be a consequence of
/// another one is not made.
#[derive(Debug, Clone, Copy)]
struct Faults {
    /// No errors so far.
    none: bool,
    /// The inventory has errors, so that names may stand for too little.
    in_inventory: bool,
    /// A file does not say which layer it is, or cannot be read.
    in_layers: bool,
}

impl Faults {
    fn of(linked: &Linked, found: &[Diagnostic], sources: &SourceSet) -> Self {
        let unreadable = sources.iter().any(|(_, source)| source.fault().is_some());
        let inventory = |one: &Diagnostic| Some(one.primary.place.file) == linked.inventory_file;
        Self {
            none: !has_errors(found),
            in_inventory: unreadable || found.iter().any(|one| one.is_error() && inventory(one)),
            in_layers: unreadable || linked.has_unknown_layers,
        }
    }

    /// Whether the finding stands although there are faults.
    const fn allow(self, code: Code) -> bool {
        match code {
            Code::ExpectationFailed | Code::HoldsNowhere | Code::LockOut | Code::NoManagementRule => {
                self.none
            }
            Code::EmptyMatch
            | Code::DuplicateRule
            | Code::Shadowed
            | Code::Redundant
            | Code::Unreachable
            | Code::UnknownHost
            | Code::Ipv4Only => !self.in_inventory,
            Code::LayerMissing | Code::MissingKey => !self.in_layers && !self.in_inventory,
            _ => true,
        }
    }
}

struct Outcome {
    policies: Vec<ValidPolicy>,
    found: Vec<Diagnostic>,
}

fn check_targets(
    linked: &Linked,
    lists: &Lists,
    options: &Options,
    faults: Faults,
    sources: &SourceSet,
) -> Outcome {
    let strangers = stranger::strangers(linked);
    let mut found = Vec::new();
    let views = views(linked, &options.scope, &strangers, sources, &mut found);
    let mut all = Vec::new();
    let mut policies = Vec::new();
    let mut census = Census::default();
    for view in &views {
        let (policy, here) = check_target(linked, view, lists, options, faults, sources, &mut census);
        policies.push(policy);
        all.push((view.label(), here));
    }
    found.extend(by_finding(all, &census.hosts_of));
    if options.scope == Scope::Everybody {
        found.extend(census.holds_nowhere());
    }
    found.retain(|one| faults.allow(one.code));
    Outcome { policies, found }
}

fn check_target<'a>(
    linked: &'a Linked,
    view: &View<'_>,
    lists: &Lists,
    options: &Options,
    faults: Faults,
    sources: &SourceSet,
    census: &mut Census<'a>,
) -> (ValidPolicy, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let failsafe = options.failsafe.clone().unwrap_or_default();
    let resolved = resolve::resolve(linked, view, &failsafe, lists, sources, &mut found);
    census.count_rules(&resolved);
    let is_complete = !has_errors(&found);
    shadow::shadowed(&resolved, &mut found);
    lint::lint(&resolved, view, options, &mut found);
    lists::lint(
        &resolved.policy.lists,
        &resolved.layers,
        options.failsafe.as_ref(),
        &mut found,
    );
    if faults.none && is_complete && !linked.roles.is_empty() {
        for expectation in resolved.layers.iter().flat_map(|layer| &layer.expectations) {
            let outcome = expect::check(expectation, &resolved, view);
            census.count_expectation(expectation, outcome.is_some());
            found.extend(outcome.and_then(Result::err));
        }
    }
    (resolved.policy, found)
}

/// Which sentences concern at least one of the hosts, and how many hosts each file is for.
#[derive(Default)]
struct Census<'a> {
    rules: BTreeMap<*const LinkedRule, (&'a LinkedRule, bool)>,
    expectations: BTreeMap<*const LinkedExpectation, (&'a LinkedExpectation, bool)>,
    /// For how many hosts each file is a layer.
    hosts_of: HashMap<FileId, usize>,
}

impl<'a> Census<'a> {
    fn count_rules(&mut self, resolved: &Resolved<'a>) {
        for layer in &resolved.layers {
            *self.hosts_of.entry(layer.header.file).or_default() += 1;
        }
        for rule in &resolved.silent {
            self.rules
                .entry(std::ptr::from_ref(*rule))
                .or_insert((*rule, false));
        }
        for rule in &resolved.written {
            self.rules.insert(std::ptr::from_ref(*rule), (*rule, true));
        }
    }

    fn count_expectation(&mut self, expectation: &'a LinkedExpectation, concerned: bool) {
        let counted = self
            .expectations
            .entry(std::ptr::from_ref(expectation))
            .or_insert((expectation, false));
        counted.1 |= concerned;
    }

    fn holds_nowhere(&self) -> impl Iterator<Item = Diagnostic> {
        let rules = self.rules.values().filter(|(_, holds)| !holds).map(|(rule, _)| {
            let name = &rule.entry.name;
            Diagnostic::new(
                Code::HoldsNowhere,
                &name.place,
                format!("`{}` concerns none of the hosts", name.value),
            )
            .hint("a rule concerns a host that is in its `from`, `to` or `among`; a peer needs another one")
        });
        let expectations =
            self.expectations
                .values()
                .filter(|(_, holds)| !holds)
                .map(|(expectation, _)| {
                    let place = &expectation.statement.written.action.place;
                    Diagnostic::new(Code::HoldsNowhere, place, "this expectation concerns none of the hosts")
                .hint("an expectation is tried on the hosts of its layer that its `from`, `to` and `on` name")
                });
        rules.chain(expectations)
    }
}

/// Says each thing once; where it is not the same on every host that the file is for, with the hosts that it concerns.
fn by_finding(all: Vec<(Arc<str>, Vec<Diagnostic>)>, hosts_of: &HashMap<FileId, usize>) -> Vec<Diagnostic> {
    let everybody = all.len();
    let mut merged: Vec<Diagnostic> = Vec::new();
    let mut known: HashMap<(Code, Place, String), usize> = HashMap::new();
    for (target, found) in all {
        for one in found {
            let key = (one.code, one.primary.place.clone(), one.message.clone());
            let at = *known.entry(key).or_insert_with(|| {
                merged.push(one);
                merged.len() - 1
            });
            if merged[at].targets.last() != Some(&target) {
                merged[at].targets.push(target.clone());
            }
        }
    }
    for one in &mut merged {
        if one.targets.len() == *hosts_of.get(&one.primary.place.file).unwrap_or(&everybody) {
            one.targets.clear();
        }
    }
    merged
}
