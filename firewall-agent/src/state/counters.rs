//! Which counter belongs to which rule. Counters belong to a rule's name: they survive edits and restarts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use firewall_common::counters::DEFAULT_COUNTERS;
use serde::{Deserialize, Serialize};

use super::{
    StateDirectory, StateError,
    durable::{self, PRIVATE},
};

const FORMAT: u32 = 1;

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    format: u32,
    /// Counts the policies that were numbered, so that the names which were used last can be told from older ones.
    policies: u64,
    names: BTreeMap<Arc<str>, Entry>,
}

impl Table {
    /// Every name with its number, and whether the last policy had it.
    fn in_use(&self) -> Vec<(&str, u16, bool)> {
        self.names
            .iter()
            .map(|(name, entry)| (&**name, entry.number, entry.used == self.policies))
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    number: u16,
    /// [`Table::policies`] when a policy last had the name.
    used: u64,
}

/// Counter numbers for the rules of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering {
    /// In the order of the rules.
    pub numbers: Vec<u16>,
    /// Numbers that belonged to other names before, or to nobody knows whom: their counters have to start at zero.
    pub to_reset: Vec<u16>,
}

/// Counter numbers by rule name.
#[derive(Debug)]
pub struct CounterNumbers {
    path: PathBuf,
    capacity: u32,
    table: Table,
    /// The file was lost: what the kernel's counters hold belongs to nobody.
    forgotten: bool,
}

impl CounterNumbers {
    /// Reads the numbers. A damaged file is reported and begun anew.
    pub fn open(state: &StateDirectory, capacity: u32) -> (Self, Option<StateError>) {
        let path = state.path().join("counters.json");
        let (table, problem) = match read(&path) {
            Ok(table) => (table.unwrap_or_default(), None),
            Err(error) => (Table::default(), Some(error)),
        };
        let numbers = Self {
            path,
            capacity,
            table,
            forgotten: problem.is_some(),
        };
        (numbers, problem)
    }

    /// The name that a number belongs to.
    #[must_use]
    pub fn name(&self, number: u16) -> Option<&Arc<str>> {
        self.table
            .names
            .iter()
            .find(|(_, entry)| entry.number == number)
            .map(|(name, _)| name)
    }

    /// Every name that has a number, those of former policies among them.
    pub fn names(&self) -> impl Iterator<Item = (&Arc<str>, u16)> {
        self.table.names.iter().map(|(name, entry)| (name, entry.number))
    }

    /// Names that have a number.
    #[must_use]
    pub fn used(&self) -> usize {
        self.table.names.len()
    }

    /// Numbers that there are for rules.
    #[must_use]
    pub fn capacity(&self) -> usize {
        (self.capacity as usize).saturating_sub(usize::from(DEFAULT_COUNTERS))
    }

    /// Gives every name a number: the one that it had, else a free one, else that of the name which no policy has had
    /// for longest. Durable when it returns; after an error nothing has changed.
    pub fn assign(&mut self, rules: &[Arc<str>]) -> Result<Numbering, StateError> {
        let wanted: BTreeSet<&Arc<str>> = rules.iter().collect();
        let full = || StateError::CountersFull {
            wanted: rules.len(),
            capacity: self.capacity(),
        };
        if wanted.len() > self.capacity() {
            return Err(full());
        }
        let mut names = self.table.names.clone();
        let mut to_reset = Vec::new();
        let used = self.table.policies + 1;
        let mut free = self.free_numbers(&names);
        let mut oldest = by_age(&names, &wanted);
        for name in wanted {
            if let Some(entry) = names.get_mut(name) {
                entry.used = used;
                continue;
            }
            let number = if let Some(number) = free.next() {
                to_reset.extend(self.forgotten.then_some(number));
                number
            } else {
                // As many numbers as wanted names there are, so that an unwanted name holds one.
                let entry = oldest.next().and_then(|old| names.remove(&old));
                let number = entry.ok_or_else(full)?.number;
                to_reset.push(number);
                number
            };
            names.insert(name.clone(), Entry { number, used });
        }
        let numbers = rules.iter().map(|name| names[name].number).collect();
        self.store(Table {
            format: FORMAT,
            policies: used,
            names,
        })?;
        Ok(Numbering { numbers, to_reset })
    }

    fn free_numbers(&self, names: &BTreeMap<Arc<str>, Entry>) -> impl Iterator<Item = u16> + use<> {
        let taken: BTreeSet<u16> = names.values().map(|entry| entry.number).collect();
        let end = u16::try_from(self.capacity).unwrap_or(u16::MAX);
        (DEFAULT_COUNTERS..end).filter(move |number| !taken.contains(number))
    }

    fn store(&mut self, table: Table) -> Result<(), StateError> {
        // Ages matter only between policies that differ in their names.
        let same = table.in_use() == self.table.in_use();
        if same {
            return Ok(());
        }
        let text =
            serde_json::to_vec(&table).map_err(|error| StateError::damaged(&self.path, error.to_string()))?;
        durable::replace(&self.path, &text, PRIVATE).map_err(StateError::io("write", &self.path))?;
        self.table = table;
        Ok(())
    }
}

/// Names that are not wanted, the one that has not been used for longest first.
fn by_age(
    names: &BTreeMap<Arc<str>, Entry>,
    wanted: &BTreeSet<&Arc<str>>,
) -> impl Iterator<Item = Arc<str>> + use<> {
    let mut unwanted: Vec<(u64, Arc<str>)> = names
        .iter()
        .filter(|(name, _)| !wanted.contains(name))
        .map(|(name, entry)| (entry.used, name.clone()))
        .collect();
    unwanted.sort();
    unwanted.into_iter().map(|(_, name)| name)
}

fn read(path: &Path) -> Result<Option<Table>, StateError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("read", path)(error)),
    };
    let table: Table =
        serde_json::from_slice(&text).map_err(|error| StateError::damaged(path, error.to_string()))?;
    if table.format != FORMAT {
        let why = format!("its format is {}, and this agent knows {FORMAT}", table.format);
        return Err(StateError::damaged(path, why));
    }
    let mut numbers: Vec<u16> = table.names.values().map(|entry| entry.number).collect();
    numbers.sort_unstable();
    if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(StateError::damaged(path, "two rules have the same number"));
    }
    if numbers.first().is_some_and(|least| *least < DEFAULT_COUNTERS) {
        return Err(StateError::damaged(path, "a rule has the number of a default"));
    }
    Ok(Some(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        directory: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                directory: tempfile::tempdir().expect("a directory"),
            }
        }

        fn open(&self, capacity: u32) -> (CounterNumbers, Option<StateError>) {
            let state = StateDirectory::open(self.directory.path()).expect("free");
            CounterNumbers::open(&state, capacity)
        }
    }

    fn rules(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn numbers_survive_edits_and_restarts() {
        let fixture = Fixture::new();
        let (mut counters, _) = fixture.open(100);
        let first = counters.assign(&rules(&["ssh", "https", "ping"])).expect("room");
        assert!(first.numbers.iter().all(|number| *number >= DEFAULT_COUNTERS));
        assert!(first.to_reset.is_empty());
        let (mut counters, problem) = fixture.open(100);
        assert!(problem.is_none());
        let second = counters.assign(&rules(&["dns", "ping", "ssh"])).expect("room");
        assert_eq!(second.numbers[1], first.numbers[2]);
        assert_eq!(second.numbers[2], first.numbers[0]);
        assert!(!first.numbers.contains(&second.numbers[0]));
        assert_eq!(
            counters.name(first.numbers[1]).map(|name| &**name),
            Some("https"),
            "kept in case it comes back"
        );
    }

    #[test]
    fn with_no_free_number_the_name_unused_for_longest_loses_its() {
        let fixture = Fixture::new();
        let (mut counters, _) = fixture.open(u32::from(DEFAULT_COUNTERS) + 2);
        let old = counters.assign(&rules(&["a"])).expect("room").numbers[0];
        counters.assign(&rules(&["b"])).expect("room");
        let third = counters.assign(&rules(&["c"])).expect("room");
        assert_eq!((third.numbers, third.to_reset), (vec![old], vec![old]));
    }

    #[test]
    fn more_rules_than_numbers_is_an_error_and_changes_nothing() {
        let fixture = Fixture::new();
        let (mut counters, _) = fixture.open(u32::from(DEFAULT_COUNTERS) + 2);
        let before = counters.assign(&rules(&["a", "b"])).expect("room");
        assert!(matches!(
            counters.assign(&rules(&["a", "b", "c"])),
            Err(StateError::CountersFull {
                wanted: 3,
                capacity: 2
            })
        ));
        assert_eq!(counters.assign(&rules(&["a", "b"])).expect("room"), before);
    }

    #[test]
    fn a_damaged_file_is_named_and_every_number_starts_at_zero() {
        for damage in [
            "",
            "{}",
            "{\"format\":1,\"policies\":1,\"names\":{\"a\":{\"number\":1,\"used\":1}}}",
        ] {
            let fixture = Fixture::new();
            fs::write(fixture.directory.path().join("counters.json"), damage).expect("written");
            let (mut counters, problem) = fixture.open(100);
            assert!(
                problem
                    .expect("damaged")
                    .to_string()
                    .contains("counters.json is damaged")
            );
            let numbering = counters.assign(&rules(&["a", "b"])).expect("room");
            assert_eq!(numbering.to_reset.len(), 2);
        }
    }
}
