//! What it takes to wait for memory: loads each of which says where the next one goes.

use std::{hint::black_box, time::Instant};

use firewall_tests::random::Random;

const SEED: u64 = 1;

/// A line of the processor's caches.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Line {
    /// Number of the one to go on at.
    next: u32,
}

/// A ring through some lines of a larger table.
pub(crate) struct Chase {
    lines: Vec<Line>,
    first: u32,
}

impl Chase {
    /// Through so many lines of `all`, in random order: as flows lie in their table.
    pub(crate) fn new(all: u32, used: u32) -> Self {
        let mut numbers: Vec<u32> = (0..all).collect();
        let mut random = Random::new(SEED);
        for place in (1..numbers.len()).rev() {
            numbers.swap(place, random.below(place + 1));
        }
        numbers.truncate(used as usize);
        let mut lines = vec![Line::default(); all as usize];
        for (from, to) in numbers.iter().zip(numbers.iter().cycle().skip(1)) {
            lines[*from as usize].next = *to;
        }
        Self {
            lines,
            first: numbers.first().copied().unwrap_or_default(),
        }
    }

    /// Nanoseconds of one load, of so many.
    pub(crate) fn run(&self, loads: u32) -> f64 {
        let start = Instant::now();
        let mut at = self.first;
        for _ in 0..loads {
            at = self.lines[at as usize].next;
        }
        black_box(at);
        start.elapsed().as_secs_f64() * 1e9 / f64::from(loads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_goes_through_all_its_lines_once() {
        let chase = Chase::new(64, 10);
        let (mut at, mut seen) = (chase.first, std::collections::HashSet::new());
        while seen.insert(at) {
            at = chase.lines[at as usize].next;
        }
        assert_eq!((seen.len(), at), (10, chase.first));
    }
}
