//! Rules that end by themselves: when, and the rows of the entries that are left then. Filled in when the image is bound
//! to the kernel's clock.

use std::collections::BTreeSet;

use firewall_common::image::{Block, MAX_ENDS};

use super::{
    CompileError,
    arrange::Arrangement,
    pool::Pool,
    records::{Addresses, Record},
    rows::Row,
};
use crate::policy::model::Term;

/// The ends of one chain's entries, and where their rows lie.
#[derive(Debug, Clone)]
pub(super) struct ChainEnds {
    /// Of the ends; the numbers of the rows are in the next one.
    first_block: u32,
    /// Of the first row, where rows are bit vectors: of the first vector.
    first_vector: u32,
    /// Of the first row's summary and references, where it has them.
    first_head: Option<u32>,
    arrangement: Arrangement,
    /// By entry; `None` is for good.
    terms: Vec<Option<Term>>,
}

impl ChainEnds {
    /// Lays room for as many rows as there are ends; `None` where no entry ends. Until it is filled every entry that
    /// ends has ended.
    pub(super) fn lay<A: Addresses>(
        pool: &mut Pool,
        arrangement: &Arrangement,
        records: &[Record<'_, A>],
    ) -> Result<Option<Self>, CompileError> {
        let different: BTreeSet<Term> = records.iter().filter_map(|record| record.rule.term).collect();
        if different.is_empty() {
            return Ok(None);
        }
        if different.len() > MAX_ENDS {
            let ending = records.iter().filter(|record| record.rule.term.is_some());
            let mut rules: Vec<_> = ending.map(|record| record.rule.name.clone()).collect();
            rules.dedup();
            return Err(CompileError::TooManyEnds {
                count: different.len(),
                rules,
                limit: MAX_ENDS,
            });
        }
        let empty = Row::new(arrangement);
        let first_block = pool.append(&[Block([0; 8]); 2])?;
        let first_vector = pool.append(&empty.vector().repeat(different.len()))?;
        let first_head = if empty.is_vector() {
            None
        } else {
            let head = empty.head_of_run(first_vector);
            Some(pool.append(&head.repeat(different.len()))?)
        };
        let ends = Self {
            first_block,
            first_vector,
            first_head,
            arrangement: arrangement.clone(),
            terms: records.iter().map(|record| record.rule.term).collect(),
        };
        for (at, block) in ends.filled(&|_| 0) {
            pool.set(at, block);
        }
        Ok(Some(ends))
    }

    pub(super) fn first_block(&self) -> u32 {
        self.first_block
    }

    /// The blocks, by number, with these ends in ticks.
    pub(super) fn filled(&self, ticks: &dyn Fn(Term) -> u32) -> Vec<(u32, Block)> {
        let ends: Vec<Option<u32>> = self.terms.iter().map(|term| term.map(ticks)).collect();
        let mut moments: Vec<u32> = ends.iter().copied().flatten().collect();
        // The clock wraps: they are sorted by how far they are from any of them.
        let origin = moments.first().map_or(0, |first| first.wrapping_sub(1 << 31));
        moments.sort_unstable_by_key(|moment| moment.wrapping_sub(origin));
        moments.dedup();
        let mut blocks = Vec::new();
        let mut rows = Vec::new();
        for (number, moment) in (0u32..).zip(&moments) {
            let is_left = |end: &Option<u32>| {
                end.is_none_or(|end| end.wrapping_sub(origin) > moment.wrapping_sub(origin))
            };
            let mut row = Row::new(&self.arrangement);
            for (&place, end) in self.arrangement.places().iter().zip(&ends) {
                row.set(place, is_left(end));
            }
            let vector = row.vector().to_vec();
            let first = self.first_vector + number * count(&vector);
            blocks.extend((first..).zip(vector));
            let Some(first_head) = self.first_head else {
                rows.push(first);
                continue;
            };
            let head = row.head_of_run(first);
            let at = first_head + number * count(&head);
            blocks.extend((at..).zip(head));
            rows.push(at);
        }
        blocks.push((self.first_block, places(&moments)));
        blocks.push((self.first_block + 1, places(&rows)));
        blocks
    }
}

/// The numbers, and the last one again in the places left.
fn places(numbers: &[u32]) -> Block {
    let last = numbers.last().copied().unwrap_or_default();
    let mut places = [last; MAX_ENDS];
    for (place, number) in places.iter_mut().zip(numbers) {
        *place = *number;
    }
    bytemuck::cast(places)
}

fn count(blocks: &[Block]) -> u32 {
    u32::try_from(blocks.len()).expect("a row is a few blocks")
}
