//! From the sentences of all files to one set of layers in which every name is defined.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    inventory::Inventory,
    model::ProtocolMatch,
    protocols,
    suggest::nearest,
    syntax::{
        DEFAULT_RULE, Document, ExpectationEntry, InventoryEntries, Layer, ListEntry, Located, RuleEntry,
        SettingsEntry, Statement, Who,
    },
};
use crate::diagnostic::{Code, Diagnostic, FileId, Place};

/// A statement whose services are looked up.
#[derive(Debug, Clone)]
pub(super) struct LinkedStatement {
    /// As it is written.
    pub(super) written: Statement,
    /// What it speaks of, with source ports.
    pub(super) protocols: Vec<ProtocolMatch>,
}

/// A rule whose names are all defined.
#[derive(Debug, Clone)]
pub(super) struct LinkedRule {
    /// As it is written.
    pub(super) entry: RuleEntry,
    /// Its statement, unless it only switches off another rule.
    pub(super) statement: Option<LinkedStatement>,
}

/// An expectation whose names are all defined.
#[derive(Debug, Clone)]
pub(super) struct LinkedExpectation {
    /// As it is written.
    pub(super) entry: ExpectationEntry,
    /// Its statement.
    pub(super) statement: LinkedStatement,
}

/// One policy file.
#[derive(Debug)]
pub(super) struct LinkedLayer {
    /// Its `layer` line.
    pub(super) header: Place,
    /// Its settings.
    pub(super) settings: SettingsEntry,
    /// Its rules in file order.
    pub(super) rules: Vec<LinkedRule>,
    /// Its expectations.
    pub(super) expectations: Vec<LinkedExpectation>,
    /// Its block lists.
    pub(super) lists: Vec<ListEntry>,
    /// The names of its rules that were left out because of faults.
    faulty_rules: Vec<Arc<str>>,
}

/// All files.
#[derive(Debug, Default)]
pub(super) struct Linked {
    /// What names mean.
    pub(super) inventory: Inventory,
    /// The base layer.
    pub(super) base: Option<LinkedLayer>,
    /// Role layers by role.
    pub(super) roles: BTreeMap<Arc<str>, LinkedLayer>,
    /// Host layers by host.
    pub(super) hosts: BTreeMap<Arc<str>, LinkedLayer>,
    /// Rules that end by themselves, on the host that has them.
    pub(super) timed: Option<LinkedLayer>,
    /// The names of rules that were left out because of faults.
    pub(super) faulty_rules: BTreeSet<Arc<str>>,
    /// Where the inventory comes from.
    pub(super) inventory_file: Option<FileId>,
    /// There is a file that does not say which layer it is.
    pub(super) has_unknown_layers: bool,
}

impl Linked {
    /// All policy layers.
    pub(super) fn layers(&self) -> impl Iterator<Item = &LinkedLayer> {
        self.base
            .iter()
            .chain(self.roles.values())
            .chain(self.hosts.values())
            .chain(&self.timed)
    }
}

/// Looks up every name in every file.
pub(super) fn link(documents: Vec<Document>, found: &mut Vec<Diagnostic>) -> Linked {
    layer_twice(&documents, found);
    rule_name_twice(&documents, found);
    let roles: Vec<_> = documents.iter().filter_map(role_of).collect();
    let nothing = InventoryEntries::default();
    let inventory = documents.iter().find(|document| is_inventory(document));
    let entries = inventory.map_or(&nothing, |document| &document.inventory);
    let mut linked = Linked {
        inventory: Inventory::new(entries, &roles, found),
        inventory_file: inventory.map(|document| document.file),
        has_unknown_layers: documents.iter().any(|document| document.layer.is_none()),
        ..Linked::default()
    };
    let rule_names: BTreeSet<Arc<str>> = documents
        .iter()
        .flat_map(|document| &document.rule_names)
        .map(|name| name.value.clone())
        .collect();
    for document in documents {
        let Some(header) = document.layer.clone() else {
            continue;
        };
        let layer = link_layer(document, &header.place, &linked.inventory, &rule_names, found);
        linked.faulty_rules.extend(layer.faulty_rules.iter().cloned());
        match header.value {
            Layer::Base => linked.base = linked.base.or(Some(layer)),
            Layer::Role(role) => {
                linked.roles.entry(role).or_insert(layer);
            }
            Layer::Host(host) => {
                check_host(&host, &header.place, &linked.inventory, found);
                linked.hosts.entry(host).or_insert(layer);
            }
            Layer::Timed => linked.timed = linked.timed.or(Some(layer)),
            Layer::Inventory => {}
        }
    }
    linked
}

/// A file without a usable header is taken for the inventory by what is in it, so that its names are known.
fn is_inventory(document: &Document) -> bool {
    match &document.layer {
        Some(layer) => layer.value == Layer::Inventory,
        None => !document.inventory.is_empty(),
    }
}

fn role_of(document: &Document) -> Option<Located<Arc<str>>> {
    let layer = document.layer.as_ref()?;
    match &layer.value {
        Layer::Role(role) => Some(Located::new(role.clone(), layer.place.clone())),
        _ => None,
    }
}

fn check_host(host: &str, place: &Place, inventory: &Inventory, found: &mut Vec<Diagnostic>) {
    if inventory.host(host).is_none() {
        let undefined = Diagnostic::new(
            Code::UndefinedName,
            place,
            format!("the inventory has no host `{host}`"),
        );
        found.push(
            match nearest(host, inventory.hosts().map(|host| host.name.as_ref())) {
                Some(known) => undefined.hint(format!("did you mean `{known}`?")),
                None => undefined.hint(format!("define it there as `[hosts.{host}]`")),
            },
        );
    }
}

fn layer_twice(documents: &[Document], found: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<&Layer, &Place> = HashMap::new();
    for layer in documents.iter().filter_map(|document| document.layer.as_ref()) {
        if let Some(first) = seen.get(&layer.value) {
            found.push(
                Diagnostic::new(Code::LayerTwice, &layer.place, "another file is the same layer")
                    .also(first, "first here")
                    .hint("each of base, inventory, role and host is one file"),
            );
        } else {
            seen.insert(&layer.value, &layer.place);
        }
    }
}

/// Within one file a name is given once; between layers `override = true` allows it (see `layers`).
fn rule_name_twice(documents: &[Document], found: &mut Vec<Diagnostic>) {
    for document in documents {
        let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
        for name in &document.rule_names {
            if let Some(first) = seen.get(name.value.as_ref()) {
                found.push(
                    Diagnostic::new(
                        Code::RuleNameTwice,
                        &name.place,
                        format!("two rules are called `{}`", name.value),
                    )
                    .also(first, "first here")
                    .hint("give each rule a name of its own; counters and edits go by it"),
                );
            } else {
                seen.insert(&name.value, &name.place);
            }
        }
    }
}

fn link_layer(
    document: Document,
    header: &Place,
    inventory: &Inventory,
    rule_names: &BTreeSet<Arc<str>>,
    found: &mut Vec<Diagnostic>,
) -> LinkedLayer {
    for member in document.settings.forwarded_networks.iter().flatten() {
        check_who(&member.value.who, &member.place, inventory, false, found);
    }
    let mut rules: Vec<LinkedRule> = Vec::new();
    for mut entry in document.rules {
        let statement = match entry.statement.take() {
            None => None,
            Some(written) => match link_statement(written, inventory, false, found) {
                None => continue,
                linked => linked,
            },
        };
        rules.push(LinkedRule { entry, statement });
    }
    let mut expectations = Vec::new();
    for entry in document.expectations {
        check_references(&entry, inventory, rule_names, found);
        if let Some(statement) = link_statement(entry.statement.clone(), inventory, true, found) {
            expectations.push(LinkedExpectation { entry, statement });
        }
    }
    let sound: BTreeSet<&str> = rules.iter().map(|rule| rule.entry.name.value.as_ref()).collect();
    let names = document.rule_names.iter().map(|name| &name.value);
    let faulty_rules = names
        .filter(|name| !sound.contains(name.as_ref()))
        .cloned()
        .collect();
    LinkedLayer {
        header: header.clone(),
        settings: document.settings,
        rules,
        expectations,
        lists: document.lists,
        faulty_rules,
    }
}

/// Looks up the names of a statement; `None` if one is undefined.
fn link_statement(
    written: Statement,
    inventory: &Inventory,
    strangers: bool,
    found: &mut Vec<Diagnostic>,
) -> Option<LinkedStatement> {
    let before = found.len();
    for item in written.parties.members().flat_map(|members| &members.items) {
        check_who(&item.value.who, &item.place, inventory, strangers, found);
    }
    let mut protocols = inventory.protocols(&written.what, found);
    if let Some(ports) = &written.from_port {
        let Some(restricted) = protocols::with_source_ports(protocols, &ports.value) else {
            found.push(
                Diagnostic::new(
                    Code::Contradiction,
                    &ports.place,
                    "`from_port` needs protocols with ports",
                )
                .also(&written.action.place, "names something that has no ports")
                .hint("write two entries, one for the protocols with ports"),
            );
            return None;
        };
        protocols = restricted;
    }
    (found.len() == before).then_some(LinkedStatement { written, protocols })
}

fn check_who(who: &Who, place: &Place, inventory: &Inventory, strangers: bool, found: &mut Vec<Diagnostic>) {
    match who {
        Who::Name(name) => inventory.check_name(name, place, found),
        Who::Stranger if !strangers => found.push(
            Diagnostic::new(Code::BadValue, place, "`stranger` stands in expectations only")
                .hint("in a rule, everybody is `any`"),
        ),
        _ => {}
    }
}

/// The rule and the hosts that an expectation names.
fn check_references(
    entry: &ExpectationEntry,
    inventory: &Inventory,
    rule_names: &BTreeSet<Arc<str>>,
    found: &mut Vec<Diagnostic>,
) {
    if let Some(rule) = &entry.rule
        && *rule.value != *DEFAULT_RULE
        && !rule_names.contains(&rule.value)
    {
        let undefined = Diagnostic::new(
            Code::UndefinedName,
            &rule.place,
            format!("no rule is called `{}`", rule.value),
        );
        let known = rule_names.iter().map(AsRef::as_ref).chain([DEFAULT_RULE]);
        found.push(match nearest(&rule.value, known) {
            Some(known) => undefined.hint(format!("did you mean `{known}`?")),
            None => undefined.hint("name a rule, or `default` where no rule is to decide"),
        });
    }
    for name in entry.on.iter().flatten() {
        inventory.check_name(&name.value, &name.place, found);
    }
}
