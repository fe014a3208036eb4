//! Puts the entries of a long chain into an order in which those that are alike stand in the same words of the bit
//! vectors: the summaries then say of nearly every word that it is not worth a look.

use std::cmp::Reverse;
use std::collections::HashSet;

use firewall_common::image::{Block, ENTRIES_PER_BLOCK, ENTRIES_PER_WORD, ORDER_PER_BLOCK};

use super::records::{Addresses, Reach, Record};

/// The places of a chain's entries.
#[derive(Debug, Clone)]
pub(super) struct Arrangement {
    /// By number of the entry.
    places: Vec<u32>,
    words: usize,
}

impl Arrangement {
    /// Of the entries of one chain, in their order.
    pub(super) fn new<A: Addresses>(records: &[Record<'_, A>]) -> Self {
        let count = u32::try_from(records.len()).expect("at most MAX_CHAIN_RULES");
        if count <= ENTRIES_PER_BLOCK {
            return Self {
                places: (0..count).collect(),
                words: records.len().div_ceil(ENTRIES_PER_WORD as usize),
            };
        }
        let mut words = words(records);
        // A packet that an early entry matches need not look at later ones.
        words.sort_unstable();
        let mut places = vec![0; records.len()];
        for (word, entries) in (0u32..).zip(&words) {
            for (bit, &entry) in (0u32..).zip(entries) {
                places[entry as usize] = word * ENTRIES_PER_WORD + bit;
            }
        }
        Self {
            places,
            words: words.len(),
        }
    }

    /// Places by number of the entry.
    pub(super) fn places(&self) -> &[u32] {
        &self.places
    }

    /// Words of 64 places.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Words of 64 bits of a summary; zero where rows have none.
    pub(super) fn summary_words(&self) -> usize {
        if self.words <= (ENTRIES_PER_BLOCK / ENTRIES_PER_WORD) as usize {
            0
        } else {
            self.words.div_ceil(64)
        }
    }

    /// The numbers of the entries by place.
    pub(super) fn order(&self) -> Vec<Block> {
        let mut numbers = vec![u16::MAX; self.words * ENTRIES_PER_WORD as usize];
        for (&place, number) in self.places.iter().zip(0..=u16::MAX) {
            numbers[place as usize] = number;
        }
        numbers
            .chunks_exact(ORDER_PER_BLOCK as usize)
            .map(|numbers| Block(*bytemuck::from_bytes(bytemuck::cast_slice(numbers))))
            .collect()
    }
}

/// Dimensions that entries are compared in.
const FEATURES: usize = 5;

/// Entries in groups of up to 64 that are alike, each in ascending order.
fn words<A: Addresses>(records: &[Record<'_, A>]) -> Vec<Vec<u32>> {
    let mut entries: Vec<(u32, [Reach; FEATURES])> = (0..)
        .zip(records)
        .map(|(entry, record)| (entry, record.reach()))
        .collect();
    entries.sort_by_key(|(_, reach)| reach.map(|reach| reach.breadth));
    let mut sorted = Vec::with_capacity(entries.len());
    for group in entries.chunk_by_mut(|(_, a), (_, b)| (0..FEATURES).all(|at| a[at].breadth == b[at].breadth))
    {
        let by = significance(group);
        group.sort_by_key(|(_, reach)| by.map(|at| reach[at].start));
        sorted.extend(group.iter().map(|(entry, _)| *entry));
    }
    sorted
        .chunks(ENTRIES_PER_WORD as usize)
        .map(|word| {
            let mut word = word.to_vec();
            word.sort_unstable();
            word
        })
        .collect()
}

/// The features of entries of the same breadths: narrow ones first, those with many values before those with few.
fn significance(group: &[(u32, [Reach; FEATURES])]) -> [usize; FEATURES] {
    let mut by: [usize; FEATURES] = std::array::from_fn(|at| at);
    by.sort_by_key(|&at| {
        let values: HashSet<u64> = group.iter().map(|(_, reach)| reach[at].start).collect();
        (group[0].1[at].breadth, Reverse(values.len()))
    });
    by
}
