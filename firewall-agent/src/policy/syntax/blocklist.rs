//! `[[blocklist]]` entries: files of addresses whose packets are dropped.

use std::sync::Arc;

use super::{
    findings::{Findings, Located},
    name,
    table::{Keys, Table},
};

/// One list as it is named.
#[derive(Debug, Clone)]
pub(crate) struct ListEntry {
    /// Its name.
    pub(crate) name: Located<Arc<str>>,
    /// Its file, from the policy file's folder on.
    pub(crate) file: Located<Arc<str>>,
}

pub(super) const KEYS: Keys = Keys {
    what: "a block list",
    known: &["name", "file"],
    reserved: &[("url", "feeds that the agent fetches itself")],
    instead: &[("path", "write `file`")],
};

/// Reads the lists without faults.
pub(super) fn read_all(file: &Table<'_>, findings: &mut Findings) -> Vec<ListEntry> {
    let mut lists = Vec::new();
    for table in file.tables("blocklist", &KEYS, findings) {
        let name = table.required_string("name", "a block list", findings);
        let name = name.filter(|name| {
            findings
                .check(&name.place, name::check_new(&name.value))
                .is_some()
        });
        let path = table.required_string("file", "a block list", findings);
        lists.extend(name.zip(path).map(|(name, file)| ListEntry { name, file }));
    }
    lists
}
