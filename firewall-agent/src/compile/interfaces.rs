//! Conditions on the interface: a row for each interface slot, filled when an interface appears.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use firewall_common::{image::Block, interface::INTERFACE_SLOTS};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{
    CompileError,
    arrange::Arrangement,
    pool::Pool,
    records::{Addresses, Record},
    rows::Row,
};

/// The interface conditions of one chain's entries, and where its rows lie.
#[derive(Debug, Clone)]
pub(super) struct ChainInterfaces {
    /// Of the row of slot 0.
    first_block: u32,
    row_blocks: u32,
    /// Of the bit vector of slot 0, where that is not the row itself. They are not shared.
    first_vector_block: u32,
    arrangement: Arrangement,
    /// By entry; `None` has no condition.
    conditions: Vec<Option<Arc<Patterns>>>,
}

/// Globs, any of which may match.
#[derive(Debug, Clone)]
pub(super) struct Patterns {
    written: Vec<String>,
    set: GlobSet,
}

impl ChainInterfaces {
    /// Lays the rows of all slots, as for an interface that no rule names; `None` where no entry has a condition.
    pub(super) fn lay<A: Addresses>(
        pool: &mut Pool,
        arrangement: &Arrangement,
        records: &[Record<'_, A>],
    ) -> Result<Option<Self>, CompileError> {
        if records
            .iter()
            .all(|record| record.rule.matches.interfaces.is_none())
        {
            return Ok(None);
        }
        let mut interfaces = Self {
            first_block: 0,
            row_blocks: 0,
            first_vector_block: 0,
            arrangement: arrangement.clone(),
            conditions: conditions(records)?,
        };
        let unnamed = interfaces.row(None);
        if unnamed.is_vector() {
            interfaces.row_blocks = 1;
            interfaces.first_block = pool.append(&unnamed.vector().repeat(INTERFACE_SLOTS))?;
            return Ok(Some(interfaces));
        }
        interfaces.first_vector_block = pool.append(&unnamed.vector().repeat(INTERFACE_SLOTS))?;
        let heads: Vec<Block> = (0..INTERFACE_SLOTS)
            .flat_map(|slot| interfaces.head(slot, &unnamed))
            .collect();
        interfaces.row_blocks = block_count(heads.len() / INTERFACE_SLOTS);
        interfaces.first_block = pool.append(&heads)?;
        Ok(Some(interfaces))
    }

    /// First block of the row of slot 0.
    pub(super) fn first_block(&self) -> u32 {
        self.first_block
    }

    /// Blocks of a row.
    pub(super) fn row_blocks(&self) -> u32 {
        self.row_blocks
    }

    /// The blocks that are one slot's alone, by number, for an interface of this name or for none.
    pub(super) fn slot(&self, slot: u8, name: Option<&str>) -> impl Iterator<Item = (u32, Block)> + use<> {
        let row = self.row(name);
        let (head, vector) = if row.is_vector() {
            (row.vector().to_vec(), Vec::new())
        } else {
            (self.head(slot.into(), &row), row.vector().to_vec())
        };
        let first = self.first_block + u32::from(slot) * self.row_blocks;
        (self.vector_block(slot.into(), vector.len())..)
            .zip(vector)
            .chain((first..).zip(head))
    }

    fn head(&self, slot: usize, row: &Row) -> Vec<Block> {
        let first = self.vector_block(slot, row.vector().len());
        row.clone().head_of_run(first)
    }

    /// First block of a slot's bit vector of so many blocks.
    fn vector_block(&self, slot: usize, blocks: usize) -> u32 {
        self.first_vector_block + block_count(slot * blocks)
    }

    fn row(&self, name: Option<&str>) -> Row {
        let mut row = Row::new(&self.arrangement);
        for (&place, condition) in self.arrangement.places().iter().zip(&self.conditions) {
            let matches = match (condition, name) {
                (None, _) => true,
                (Some(patterns), Some(name)) => patterns.set.is_match(name),
                (Some(_), None) => false,
            };
            row.set(place, matches);
        }
        row
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

fn block_count(blocks: usize) -> u32 {
    u32::try_from(blocks).expect("64 slots of a few blocks")
}

/// The patterns of each entry; entries that are written alike share them.
fn conditions<A: Addresses>(records: &[Record<'_, A>]) -> Result<Vec<Option<Arc<Patterns>>>, CompileError> {
    let mut known: HashMap<&[String], Arc<Patterns>> = HashMap::new();
    let mut conditions = Vec::with_capacity(records.len());
    for record in records {
        let Some(written) = &record.rule.matches.interfaces else {
            conditions.push(None);
            continue;
        };
        let patterns = match known.get(&**written) {
            Some(patterns) => patterns.clone(),
            None => Arc::new(Patterns::new(written, &record.rule.name)?),
        };
        known.insert(written, patterns.clone());
        conditions.push(Some(patterns));
    }
    Ok(conditions)
}
