//! The block lists of a policy: which files they are, what is in them, and what should not be.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    link::LinkedLayer,
    list::{self, Entries},
    model::{BlockList, Failsafe, Origin},
    read::list_path,
};
use crate::{
    diagnostic::{Code, Diagnostic, Place, SourceSet},
    policy::syntax::ListEntry,
};

/// Every list that could be read, by its path.
#[derive(Debug, Default)]
pub(super) struct Lists {
    entries: BTreeMap<Arc<str>, Arc<Entries>>,
    /// Those with faults, which are told of where the faults are.
    faulty: Vec<Arc<str>>,
}

impl Lists {
    /// Reads the lists of a set of files.
    pub(super) fn read(sources: &SourceSet, found: &mut Vec<Diagnostic>) -> Self {
        let mut lists = Self::default();
        for (file, source) in sources.lists() {
            if source.fault().is_some() {
                // Told of at the place that names it.
                continue;
            }
            match list::parse(source.text()) {
                Ok(entries) => {
                    lists.entries.insert(source.name().clone(), Arc::new(entries));
                }
                Err(faults) => {
                    lists.faulty.push(source.name().clone());
                    found.extend(faults.into_iter().map(|fault| {
                        Diagnostic::new(Code::BadListEntry, &Place::new(file, fault.span), fault.message)
                    }));
                }
            }
        }
        lists
    }

    /// The lists that some layers name.
    pub(super) fn of(
        &self,
        layers: &[&LinkedLayer],
        sources: &SourceSet,
        found: &mut Vec<Diagnostic>,
    ) -> Vec<BlockList> {
        let mut lists: Vec<BlockList> = Vec::new();
        let mut places: Vec<&Place> = Vec::new();
        for entry in layers.iter().flat_map(|layer| &layer.lists) {
            if let Some(twice) = lists.iter().position(|list| list.name == entry.name.value) {
                let message = format!("there is another block list `{}`", entry.name.value);
                found.push(
                    Diagnostic::new(Code::NameTwice, &entry.name.place, message)
                        .also(places[twice], "first here"),
                );
                continue;
            }
            if let Some(list) = self.list(entry, sources, found) {
                lists.push(list);
                places.push(&entry.name.place);
            }
        }
        lists
    }

    fn list(&self, entry: &ListEntry, sources: &SourceSet, found: &mut Vec<Diagnostic>) -> Option<BlockList> {
        let policy_file = sources.file(entry.name.place.file).name();
        let path: Arc<str> = list_path(policy_file, &entry.file.value).into();
        let Some(entries) = self.entries.get(&path) else {
            if !self.faulty.contains(&path) {
                found.push(unreadable(&path, entry, sources));
            }
            return None;
        };
        Some(BlockList {
            name: entry.name.value.clone(),
            origin: Origin {
                file: policy_file.clone(),
                line: sources.position(&entry.name.place).line,
                span: entry.name.place.span.clone(),
            },
            file: path,
            entries: entries.clone(),
        })
    }
}

fn unreadable(path: &str, entry: &ListEntry, sources: &SourceSet) -> Diagnostic {
    let source = sources.lists().find(|(_, source)| **source.name() == *path);
    let fault = source
        .and_then(|(_, source)| source.fault())
        .unwrap_or("it is not there");
    Diagnostic::new(
        Code::Unreadable,
        &entry.file.place,
        format!("cannot read the block list {path}: {fault}"),
    )
    .hint("the path is taken from the folder of the policy file on")
}

/// Networks that are nobody's out there (RFC 1918, RFC 1122, RFC 3927).
const PRIVATE_V4: [(&str, u32, u32); 5] = [
    ("10.0.0.0/8", 0x0a00_0000, 0x0aff_ffff),
    ("172.16.0.0/12", 0xac10_0000, 0xac1f_ffff),
    ("192.168.0.0/16", 0xc0a8_0000, 0xc0a8_ffff),
    ("127.0.0.0/8", 0x7f00_0000, 0x7fff_ffff),
    ("169.254.0.0/16", 0xa9fe_0000, 0xa9fe_ffff),
];
/// RFC 4193 and RFC 4291 2.5.6.
const PRIVATE_V6: [(&str, u128, u128); 2] = [
    ("fc00::/7", 0xfc << 120, (0xfe << 120) - 1),
    ("fe80::/10", 0xfe80 << 112, (0xfec0 << 112) - 1),
];

/// Says which lists have addresses that are hardly meant.
pub(super) fn lint(
    lists: &[BlockList],
    layers: &[&LinkedLayer],
    failsafe: Option<&Failsafe>,
    found: &mut Vec<Diagnostic>,
) {
    let written: Vec<&ListEntry> = layers.iter().flat_map(|layer| &layer.lists).collect();
    for list in lists {
        let Some(entry) = written.iter().find(|entry| entry.name.value == list.name) else {
            continue;
        };
        if failsafe.is_some_and(|failsafe| has_management(list, failsafe)) {
            let message = format!(
                "the block list `{}` has addresses that may manage this host",
                list.name
            );
            found.push(
                Diagnostic::new(Code::ListCovers, &entry.name.place, message)
                    .hint("the failsafe lets them in all the same, to the management ports alone"),
            );
        }
        let private = private(list);
        if !private.is_empty() {
            let message = format!(
                "the block list `{}` has addresses of {}",
                list.name,
                private.join(", ")
            );
            found.push(
                Diagnostic::new(Code::ListCovers, &entry.name.place, message)
                    .hint("feeds such as FireHOL level1 hold networks that are never routed; take them out where hosts of yours have such addresses"),
            );
        }
    }
}

fn has_management(list: &BlockList, failsafe: &Failsafe) -> bool {
    let sources = &failsafe.management_sources;
    let v4 = sources
        .v4
        .iter()
        .any(|range| list.entries.overlap_v4(*range.start(), *range.end()).is_some());
    v4 || sources
        .v6
        .iter()
        .any(|range| list.entries.overlap_v6(*range.start(), *range.end()).is_some())
}

fn private(list: &BlockList) -> Vec<&'static str> {
    let v4 = PRIVATE_V4
        .iter()
        .filter(|(_, first, last)| list.entries.overlap_v4(*first, *last).is_some());
    let v6 = PRIVATE_V6
        .iter()
        .filter(|(_, first, last)| list.entries.overlap_v6(*first, *last).is_some());
    v4.map(|(name, ..)| *name)
        .chain(v6.map(|(name, ..)| *name))
        .collect()
}
