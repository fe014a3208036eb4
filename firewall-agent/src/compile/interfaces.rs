//! Conditions on the interface: a bit vector for each interface slot, filled when an interface appears.

use std::fmt::Write as _;

use firewall_common::{image::Block, interface::INTERFACE_SLOTS};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{
    CompileError,
    partition::BitVector,
    pool::Pool,
    records::{Addresses, Record},
};
use crate::policy::model::Rule;

/// The interface conditions of one chain's entries, and where its vectors lie.
#[derive(Debug, Clone)]
pub(super) struct ChainInterfaces {
    first_block: u32,
    /// By entry; `None` has no condition.
    conditions: Vec<Option<Patterns>>,
}

/// Globs, any of which may match.
#[derive(Debug, Clone)]
pub(super) struct Patterns {
    written: Vec<String>,
    set: GlobSet,
}

impl ChainInterfaces {
    /// Lays the vectors of all slots, as for an interface that no rule names; `None` where no entry has a condition.
    pub(super) fn lay<A: Addresses>(
        pool: &mut Pool,
        records: &[Record<'_, A>],
    ) -> Result<Option<Self>, CompileError> {
        if records
            .iter()
            .all(|record| record.rule.matches.interfaces.is_none())
        {
            return Ok(None);
        }
        let conditions = records
            .iter()
            .map(|record| patterns(record.rule))
            .collect::<Result<_, _>>()?;
        let mut interfaces = Self {
            first_block: 0,
            conditions,
        };
        let unnamed = interfaces.vector(None);
        interfaces.first_block = pool.append(&unnamed.blocks().repeat(INTERFACE_SLOTS))?;
        Ok(Some(interfaces))
    }

    /// First block of the vector of slot 0.
    pub(super) fn first_block(&self) -> u32 {
        self.first_block
    }

    /// The blocks of one slot's vector, by number, for an interface of this name or for none.
    pub(super) fn slot(&self, slot: u8, name: Option<&str>) -> impl Iterator<Item = (u32, Block)> + use<> {
        let vector = self.vector(name);
        let length = u32::try_from(vector.blocks().len()).expect("at most MAX_VECTOR_BLOCKS");
        let first = self.first_block + u32::from(slot) * length;
        (first..).zip(vector.into_blocks())
    }

    fn vector(&self, name: Option<&str>) -> BitVector {
        let mut vector = BitVector::new(self.conditions.len());
        for (entry, condition) in self.conditions.iter().enumerate() {
            let matches = match (condition, name) {
                (None, _) => true,
                (Some(patterns), Some(name)) => patterns.set.is_match(name),
                (Some(_), None) => false,
            };
            vector.set(entry, matches);
        }
        vector
    }

    /// Everything here that the blocks do not say.
    pub(super) fn fingerprint(&self) -> String {
        let mut text = String::new();
        for condition in &self.conditions {
            let written = condition.as_ref().map(|patterns| &patterns.written);
            writeln!(text, "{written:?}").expect("a string takes everything");
        }
        text
    }
}

impl Patterns {
    /// `what` is what they belong to, for errors.
    pub(super) fn new(written: &[String], what: &str) -> Result<Self, CompileError> {
        let error = |glob: &str, error: globset::Error| CompileError::Glob {
            rule: what.into(),
            glob: glob.to_owned(),
            reason: error.kind().to_string(),
        };
        let mut set = GlobSetBuilder::new();
        for glob in written {
            set.add(
                GlobBuilder::new(glob)
                    .build()
                    .map_err(|reason| error(glob, reason))?,
            );
        }
        let set = set.build().map_err(|reason| error(&written.join(", "), reason))?;
        Ok(Self {
            written: written.to_vec(),
            set,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    pub(super) fn written(&self) -> &[String] {
        &self.written
    }

    pub(super) fn is_match(&self, name: &str) -> bool {
        self.set.is_match(name)
    }
}

fn patterns(rule: &Rule) -> Result<Option<Patterns>, CompileError> {
    let written = rule.matches.interfaces.as_ref();
    written
        .map(|written| Patterns::new(written, &rule.name))
        .transpose()
}
