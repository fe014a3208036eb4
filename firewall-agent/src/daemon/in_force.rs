//! The policy in force, as everybody but the kernel sees it.

use std::{collections::BTreeMap, sync::Arc};

use firewall_common::counters::DEFAULT_COUNTERS;

use super::{known_file::KnownFile, prepare::Prepared};
use crate::{
    compile::ImageHash,
    control::protocol::Enforcing,
    policy::model::{Direction, Rule, ValidPolicy},
    state::{CounterNumbers, Manifest, PolicyFile},
};

/// The policy in force. Replaced as a whole, never changed.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(crate) enforcing: Enforcing,
    /// Empty of rules where a policy was adopted that nothing is known of.
    pub(crate) policy: Arc<ValidPolicy>,
    /// Counter numbers in the order of the rules.
    pub(crate) numbers: Vec<u16>,
    pub(crate) hash: Option<ImageHash>,
    /// Blocks of its image; none where that is not known.
    pub(crate) blocks: usize,
    /// Number of the judgement in the kernel.
    pub(crate) epoch: u32,
    /// The files that it was made of; none where it was made of none.
    pub(crate) files: Vec<KnownFile>,
    pub(crate) revision: Option<Manifest>,
    /// Counter numbers that are given out, and that there are.
    pub(crate) counter_use: CounterUse,
    names: BTreeMap<u16, Arc<str>>,
}

/// How many rules have counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CounterUse {
    /// Names that have a number.
    pub(crate) used: usize,
    /// Numbers that there are.
    pub(crate) capacity: usize,
}

impl From<&CounterNumbers> for CounterUse {
    fn from(numbers: &CounterNumbers) -> Self {
        Self {
            used: numbers.used(),
            capacity: numbers.capacity(),
        }
    }
}

impl InForce {
    pub(super) fn new(
        enforcing: Enforcing,
        prepared: Prepared,
        numbers: Vec<u16>,
        epoch: u32,
        revision: Option<Manifest>,
        counter_use: CounterUse,
    ) -> Self {
        let rules = &prepared.policy.rules;
        let names = numbers
            .iter()
            .copied()
            .zip(rules.iter().map(|rule| rule.name.clone()));
        Self {
            names: names.collect(),
            enforcing,
            hash: Some(prepared.image.hash()),
            blocks: prepared.image.blocks().len(),
            policy: prepared.policy,
            numbers,
            epoch,
            files: prepared.files.iter().map(KnownFile::from).collect(),
            revision,
            counter_use,
        }
    }

    /// The same policy with other block lists.
    pub(super) fn with_lists(
        &self,
        policy: Arc<ValidPolicy>,
        files: &[PolicyFile],
        epoch: u32,
        revision: Manifest,
    ) -> Self {
        Self {
            policy,
            files: files.iter().map(KnownFile::from).collect(),
            epoch,
            revision: Some(revision),
            ..self.clone()
        }
    }

    /// The same policy under another judgement.
    pub(super) fn with_epoch(&self, epoch: u32) -> Self {
        Self {
            epoch,
            ..self.clone()
        }
    }

    /// A policy in the kernel that nothing is known of.
    pub(super) fn adopted(failsafe: Prepared, epoch: u32) -> Self {
        let mut policy = failsafe.policy;
        Arc::make_mut(&mut policy).settings.interfaces.clear();
        Self {
            names: BTreeMap::new(),
            enforcing: Enforcing::Adopted,
            hash: None,
            blocks: 0,
            policy,
            numbers: Vec::new(),
            epoch,
            files: Vec::new(),
            revision: None,
            counter_use: CounterUse::default(),
        }
    }

    /// The hash in hexadecimal; empty where it is not known.
    pub(crate) fn hash_text(&self) -> String {
        self.hash.map(|hash| hash.to_string()).unwrap_or_default()
    }

    /// Rules with the numbers of their counters.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&Rule, u16)> {
        self.policy.rules.iter().zip(self.numbers.iter().copied())
    }

    /// What a counter number stands for: a rule in force, or a direction's default.
    pub(crate) fn counter_name(&self, number: u16) -> Option<Arc<str>> {
        if let Some(direction) = default_direction(number) {
            return Some(default_name(direction).into());
        }
        self.names.get(&number).cloned()
    }

    /// The name of a counter number; the number itself where nothing is known of it.
    pub(crate) fn rule_name(&self, number: u16) -> String {
        self.counter_name(number)
            .map_or_else(|| format!("#{number}"), |name| name.to_string())
    }

    /// Whether these texts are the ones in force.
    pub(crate) fn has_files(&self, files: &[PolicyFile]) -> bool {
        self.enforcing == Enforcing::Policy
            && self.files.len() == files.len()
            && self.files.iter().zip(files).all(|(known, file)| known.is(file))
    }
}

/// The directions in the order of the numbers of their defaults' counters.
pub(crate) const DIRECTIONS: [Direction; DEFAULT_COUNTERS as usize] =
    [Direction::In, Direction::Out, Direction::Forward];

fn default_direction(number: u16) -> Option<Direction> {
    DIRECTIONS.get(usize::from(number)).copied()
}

/// The counter number of a direction's default.
pub(crate) const fn default_number(direction: Direction) -> u16 {
    match direction {
        Direction::In => 0,
        Direction::Out => 1,
        Direction::Forward => 2,
    }
}

/// What a direction's default is called among the rules. Rule names have no parentheses.
pub(crate) const fn default_name(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "(default in)",
        Direction::Out => "(default out)",
        Direction::Forward => "(default forward)",
    }
}

/// What the directions' defaults are called, in the order of their numbers.
pub(crate) fn default_names() -> impl Iterator<Item = &'static str> {
    DIRECTIONS.into_iter().map(default_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_have_the_first_numbers() {
        for direction in DIRECTIONS {
            assert_eq!(default_direction(default_number(direction)), Some(direction));
        }
        assert_eq!(default_direction(DEFAULT_COUNTERS), None);
    }
}
