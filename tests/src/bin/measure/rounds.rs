//! Rounds in which the candidates take turns, and what comes out of them.

use anyhow::Result;

use crate::results::Figure;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Turns of each candidate.
    pub(crate) rounds: usize,
    /// Packets in a turn, at least.
    pub(crate) packets: u32,
    /// For a first look only.
    pub(crate) quick: bool,
}

impl Effort {
    /// For the record.
    pub(crate) const FULL: Self = Self {
        rounds: 15,
        packets: 400_000,
        quick: false,
    };
    /// For a first look.
    pub(crate) const QUICK: Self = Self {
        rounds: 5,
        packets: 100_000,
        quick: true,
    };

    /// One of two, for a full run and for a first look.
    pub(crate) fn either<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

impl Figure {
    /// Of the rounds of one candidate.
    pub(crate) fn of(rounds: Vec<f64>) -> Self {
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| sorted.get((sorted.len() - 1) * quarter / 4).copied();
        Self {
            median: at(2).unwrap_or(f64::NAN),
            lower: at(1).unwrap_or(f64::NAN),
            upper: at(3).unwrap_or(f64::NAN),
            rounds,
        }
    }

    /// Round by round, with what another candidate gave in the same round.
    fn paired(&self, other: &Self, with: impl Fn(f64, f64) -> f64) -> Self {
        Self::of(
            self.rounds
                .iter()
                .zip(&other.rounds)
                .map(|(own, other)| with(*own, *other))
                .collect(),
        )
    }

    /// Less what an empty program took in the same round.
    pub(crate) fn net_of(&self, floor: &Self) -> Self {
        self.paired(floor, |value, floor| (value - floor).max(0.0))
    }

    /// A figure of elsewhere, by what this run's rounds are to the figure of elsewhere that goes with them.
    pub(crate) fn scale(&self, elsewhere: f64, wanted: f64) -> Self {
        Self::of(
            self.rounds
                .iter()
                .map(|round| round / elsewhere * wanted)
                .collect(),
        )
    }
}

/// Lets each of `candidates` take its turn in each round; a turn returns a figure.
pub(crate) fn take_turns<C: Copy>(
    rounds: usize,
    candidates: &[C],
    mut turn: impl FnMut(C) -> Result<f64>,
) -> Result<Vec<Figure>> {
    let mut taken = vec![Vec::new(); candidates.len()];
    for round in 0..rounds {
        for place in 0..candidates.len() {
            // Nobody is always the first.
            let place = (place + round) % candidates.len();
            taken[place].push(turn(candidates[place])?);
        }
    }
    Ok(taken.into_iter().map(Figure::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_middle_and_the_quarters() {
        let figure = Figure::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!(whole(&figure), [2, 3, 4]);
        assert_eq!(figure.rounds, [5.0, 1.0, 3.0, 2.0, 4.0]);
    }

    #[test]
    fn what_is_net_is_taken_round_by_round() {
        // The machine was slower in the second round, for both.
        let (full, floor) = (
            Figure::of(vec![13.0, 33.0, 14.0]),
            Figure::of(vec![10.0, 30.0, 10.0]),
        );
        assert_eq!(full.net_of(&floor).rounds, [3.0, 3.0, 4.0]);
        assert_eq!(floor.net_of(&full).rounds, [0.0; 3]);
    }

    #[test]
    fn figures_of_elsewhere_are_scaled() {
        assert_eq!(whole(&Figure::of(vec![20.0]).scale(10.0, 7.0)), [14; 3]);
    }

    fn whole(figure: &Figure) -> [i64; 3] {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the tests' figures are small and whole"
        )]
        [figure.lower, figure.median, figure.upper].map(|value| value as i64)
    }

    #[test]
    fn candidates_take_turns() {
        let mut order = Vec::new();
        let figures = take_turns(2, &[1, 2], |candidate| {
            order.push(candidate);
            Ok(f64::from(candidate))
        });
        assert_eq!(order, [1, 2, 2, 1]);
        let figures: Vec<_> = figures.unwrap().iter().map(whole).collect();
        assert_eq!(figures, [[1; 3], [2; 3]]);
    }
}
