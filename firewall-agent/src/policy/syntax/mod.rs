//! From TOML text to the sentences of one file: every value is typed and located, no name is looked up yet.

mod blocklist;
mod expectation;
mod findings;
mod header;
mod inventory;
mod member;
pub(super) mod name;
mod number;
mod rule;
mod settings;
mod statement;
mod table;
mod what;

use toml::de::DeTable;

pub(super) use blocklist::ListEntry;
pub(super) use expectation::{DEFAULT_RULE, ExpectationEntry};
pub(super) use findings::Located;
pub use header::Layer;
pub(super) use inventory::{HostEntry, InventoryEntries, NetworkEntry, ServiceEntry};
pub(super) use member::{Member, Who};
pub(super) use rule::RuleEntry;
pub(super) use settings::{SettingsEntry, Timer};
pub(super) use statement::{Among, Members, Parties, Statement};
pub(crate) use what::message_name;
pub(super) use what::{BUILT_IN, What, parse as parse_what};

use self::{findings::Findings, table::Table};
use crate::diagnostic::{Code, Diagnostic, FileId, SourceFile};

/// One policy or inventory file, read.
#[derive(Debug)]
pub(super) struct Document {
    /// The file.
    pub(super) file: FileId,
    /// Which layer it is, if its header can be read.
    pub(super) layer: Option<Located<Layer>>,
    /// Settings tables.
    pub(super) settings: SettingsEntry,
    /// The rules without faults, in file order.
    pub(super) rules: Vec<RuleEntry>,
    /// The names of all rules, those with faults too.
    pub(super) rule_names: Vec<Located<std::sync::Arc<str>>>,
    /// The expectations without faults.
    pub(super) expectations: Vec<ExpectationEntry>,
    /// Its block lists.
    pub(super) lists: Vec<ListEntry>,
    /// What an inventory file holds.
    pub(super) inventory: InventoryEntries,
}

/// The services that every policy knows, each with what it stands for.
pub fn built_in_services() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    BUILT_IN.iter().copied()
}

/// Every key of the language, some of them more than once.
pub fn language_keys() -> impl Iterator<Item = &'static str> {
    let tables = header::KEYS.into_iter().chain(settings::KEYS).chain([
        &rule::KEYS,
        &expectation::KEYS,
        &blocklist::KEYS,
        &inventory::HOST_KEYS,
    ]);
    tables.flat_map(|keys| {
        keys.known
            .iter()
            .copied()
            .chain(keys.reserved.iter().map(|(key, _)| *key))
    })
}

/// Which layer a text is, if that can be read.
#[must_use]
pub fn layer_of(text: &str) -> Option<Layer> {
    let mut findings = Findings::new(FileId::default());
    let (root, _) = DeTable::parse_recoverable(text);
    let start = findings.place(0..0);
    header::read(&Table::open_named(root.get_ref(), start), &mut findings).map(|layer| layer.value)
}

/// The files of the block lists that a policy text names, as far as they can be read.
pub(super) fn list_files(text: &str) -> Vec<std::sync::Arc<str>> {
    let mut findings = Findings::new(FileId::default());
    let (root, _) = DeTable::parse_recoverable(text);
    let table = Table::open_named(root.get_ref(), findings.place(0..0));
    let lists = blocklist::read_all(&table, &mut findings);
    lists.into_iter().map(|list| list.file.value).collect()
}

/// Reads one file and says what is wrong with it.
pub(super) fn parse(file: FileId, source: &SourceFile) -> (Document, Vec<Diagnostic>) {
    let mut findings = Findings::new(file);
    let (root, faults) = DeTable::parse_recoverable(source.text());
    for fault in &faults {
        let span = fault.span().unwrap_or(0..0);
        let place = findings.place(span.clone());
        let line = source.line_index(span.start);
        findings.push_fault(
            Diagnostic::new(Code::Syntax, &place, sentence(fault.message())),
            source.lines(line, line),
        );
    }
    let document = document(file, root.get_ref(), &mut findings);
    (document, findings.into_diagnostics())
}

fn document(file: FileId, root: &DeTable<'_>, findings: &mut Findings) -> Document {
    let start = findings.place(0..0);
    let layer = header::read(&Table::open_named(root, start.clone()), findings);
    let keys = header::keys(layer.as_ref().map(|layer| &layer.value));
    let table = Table::open(root, start, keys, findings);
    let is_timed = layer.as_ref().is_some_and(|layer| layer.value == Layer::Timed);
    let (rules, rule_names) = rule::read_all(&table, is_timed, findings);
    Document {
        file,
        settings: settings::read(&table, findings),
        rules,
        rule_names,
        expectations: expectation::read_all(&table, findings),
        lists: blocklist::read_all(&table, findings),
        inventory: inventory::read(&table, findings),
        layer,
    }
}

/// The parser's words without its final punctuation.
fn sentence(message: &str) -> String {
    message.trim_end_matches('.').to_owned()
}
