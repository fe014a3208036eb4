//! Rounds in which the candidates take turns, and what comes out of them.

use anyhow::Result;
use serde_json::{Value, json};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Turns of each candidate.
    pub(crate) rounds: usize,
    /// Packets in a turn, at least.
    pub(crate) packets: u32,
    /// Flows of the largest table.
    pub(crate) most_flows: u32,
}

impl Effort {
    /// For the record.
    pub(crate) const FULL: Self = Self {
        rounds: 15,
        packets: 400_000,
        most_flows: 1_000_000,
    };
    /// For a first look.
    pub(crate) const QUICK: Self = Self {
        rounds: 5,
        packets: 100_000,
        most_flows: 100_000,
    };
}

/// Nanoseconds a packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    /// Of all rounds the middle one.
    pub(crate) median: f64,
    /// A quarter of the rounds were faster.
    pub(crate) lower: f64,
    /// A quarter of the rounds were slower.
    pub(crate) upper: f64,
}

impl Figure {
    /// Of the rounds of one candidate.
    pub(crate) fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let at = |quarter: usize| rounds[(rounds.len() - 1) * quarter / 4];
        Self {
            median: at(2),
            lower: at(1),
            upper: at(3),
        }
    }

    /// Less what an empty program takes.
    pub(crate) fn net_of(self, floor: Self) -> Self {
        let less = |value: f64| (value - floor.median).max(0.0);
        Self {
            median: less(self.median),
            lower: less(self.lower),
            upper: less(self.upper),
        }
    }

    /// For the record.
    pub(crate) fn json(self) -> Value {
        json!({ "median": self.median, "lower": self.lower, "upper": self.upper })
    }
}

/// Lets each of `candidates` take its turn in each round; a turn returns nanoseconds a packet.
pub(crate) fn take_turns<C: Copy, const N: usize>(
    rounds: usize,
    candidates: [C; N],
    mut turn: impl FnMut(C) -> Result<f64>,
) -> Result<[Figure; N]> {
    let mut taken: [Vec<f64>; N] = [const { Vec::new() }; N];
    for round in 0..rounds {
        for place in 0..N {
            // Nobody is always the first.
            let place = (place + round) % N;
            taken[place].push(turn(candidates[place])?);
        }
    }
    Ok(taken.map(Figure::of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_middle_and_the_quarters() {
        let figure = Figure::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!(whole(figure), [2, 3, 4]);
        let net = figure.net_of(Figure::of(vec![1.0]));
        assert_eq!(whole(net), [1, 2, 3]);
        assert_eq!(whole(figure.net_of(Figure::of(vec![9.0]))), [0, 0, 0]);
    }

    fn whole(figure: Figure) -> [i64; 3] {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the tests' figures are small and whole"
        )]
        [figure.lower, figure.median, figure.upper].map(|value| value as i64)
    }

    #[test]
    fn candidates_take_turns() {
        let mut order = Vec::new();
        let figures = take_turns(2, [1, 2], |candidate| {
            order.push(candidate);
            Ok(f64::from(candidate))
        });
        assert_eq!(order, [1, 2, 2, 1]);
        assert_eq!(figures.unwrap().map(whole), [[1; 3], [2; 3]]);
    }
}
