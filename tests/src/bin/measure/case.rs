//! Cases as they are put together.

use crate::results::{Case, Check, Entry, Figure, OURS, Unit};

/// A case that could not be measured, and why.
pub(crate) fn not_measured(name: &str, reason: &anyhow::Error) -> Case {
    missing(name, Unit::Count, reason)
}

/// The same, where something was to be reached that has a unit.
pub(crate) fn missing(name: &str, unit: Unit, reason: &anyhow::Error) -> Case {
    Case::new(name, unit).note(format!("not measured: {reason:#}"))
}

impl Case {
    /// A case that nobody was measured in yet.
    pub(crate) fn new(name: impl Into<String>, unit: Unit) -> Self {
        Self {
            name: name.into(),
            series: None,
            size: 0,
            unit,
            entries: Vec::new(),
            checks: Vec::new(),
            note: None,
        }
    }

    /// A point of a series that is drawn over `size`.
    pub(crate) fn of_series(mut self, series: &str, size: u64) -> Self {
        self.series = Some(series.to_owned());
        self.size = size;
        self
    }

    /// Our own figure.
    pub(crate) fn ours(self, figure: Figure) -> Self {
        self.with(OURS, figure)
    }

    /// A figure that was measured.
    pub(crate) fn with(mut self, who: &str, figure: Figure) -> Self {
        self.entries.push(Entry {
            who: who.to_owned(),
            figure,
            scaled: false,
        });
        self
    }

    /// The same, if it was measured.
    pub(crate) fn with_some(self, who: &str, figure: Option<Figure>) -> Self {
        match figure {
            Some(figure) => self.with(who, figure),
            None => self,
        }
    }

    /// A figure of elsewhere, scaled.
    pub(crate) fn scaled(mut self, who: &str, figure: Option<Figure>) -> Self {
        if let Some(figure) = figure {
            self.entries.push(Entry {
                who: who.to_owned(),
                figure,
                scaled: true,
            });
        }
        self
    }

    /// Something that a reader has to know.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    fn medians(&self, who: &str) -> Option<(f64, f64)> {
        let ours = self.entry(OURS)?.figure.median;
        let other = self.entry(who)?.figure.median;
        (ours > 0.0 && other > 0.0).then_some((ours, other))
    }

    /// Our figure is to be at most so many times another's.
    pub(crate) fn at_most_times(mut self, most: f64, who: &str) -> Self {
        let value = self.medians(who).map(|(ours, other)| ours / other);
        self.checks.push(Check {
            beside: Some(who.to_owned()),
            target: format!("≤ {most:.2} × {who}"),
            value,
            met: value.is_some_and(|value| value <= most),
        });
        self
    }

    /// We are to be so many times as good as another.
    pub(crate) fn better_than(mut self, least: f64, who: &str) -> Self {
        let more_is_better = self.unit.more_is_better();
        let value = self.medians(who).map(|(ours, other)| {
            if more_is_better {
                ours / other
            } else {
                other / ours
            }
        });
        self.checks.push(Check {
            beside: Some(who.to_owned()),
            target: format!("≥ {least} × better than {who}"),
            value,
            met: value.is_some_and(|value| value >= least),
        });
        self
    }

    /// Our figure is to be at most so much.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        let value = self.entry(OURS).map(|entry| entry.figure.median);
        self.checks.push(Check {
            beside: None,
            target: format!("≤ {most} {}", self.unit.word()),
            value,
            met: value.is_some_and(|value| value <= most),
        });
        self
    }

    /// Our figure is to be at least so much.
    pub(crate) fn at_least(mut self, least: f64) -> Self {
        let value = self.entry(OURS).map(|entry| entry.figure.median);
        self.checks.push(Check {
            beside: None,
            target: format!("≥ {least} {}", self.unit.word()).trim_end().to_owned(),
            value,
            met: value.is_some_and(|value| value >= least),
        });
        self
    }

    /// It is to work at all.
    pub(crate) fn works(mut self) -> Self {
        let value = self.entry(OURS).map(|entry| entry.figure.median);
        self.checks.push(Check {
            beside: None,
            target: "works".to_owned(),
            value,
            met: value.is_some(),
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Outcome;

    fn figure(value: f64) -> Figure {
        Figure::of(vec![value])
    }

    fn outcomes(case: &Case) -> Vec<Outcome> {
        case.checks.iter().map(Check::outcome).collect()
    }

    #[test]
    fn less_time_is_better() {
        let case = Case::new("", Unit::Nanoseconds)
            .ours(figure(20.0))
            .with("peer", figure(100.0))
            .better_than(5.0, "peer")
            .better_than(5.1, "peer")
            .at_most_times(0.2, "peer")
            .at_most_times(0.19, "peer");
        assert_eq!(
            outcomes(&case),
            [Outcome::Met, Outcome::NotMet, Outcome::Met, Outcome::NotMet]
        );
        assert_eq!(case.checks[0].value, Some(5.0));
    }

    #[test]
    fn a_higher_rate_is_better() {
        let case = Case::new("", Unit::PerSecond)
            .ours(figure(97.0))
            .with("nothing", figure(100.0))
            .better_than(0.97, "nothing")
            .better_than(0.98, "nothing");
        assert_eq!(outcomes(&case), [Outcome::Met, Outcome::NotMet]);
    }

    #[test]
    fn who_was_not_measured_is_not_beaten() {
        let case = Case::new("", Unit::Nanoseconds)
            .ours(figure(1.0))
            .with_some("peer", None)
            .better_than(1.0, "peer");
        assert_eq!(outcomes(&case), [Outcome::NotMeasured]);
        let case = Case::new("", Unit::Count)
            .ours(figure(9.0))
            .at_least(9.0)
            .at_least(9.5);
        assert_eq!(outcomes(&case), [Outcome::Met, Outcome::NotMet]);
        let case = Case::new("", Unit::Milliseconds).at_most(5.0).works();
        assert_eq!(outcomes(&case), [Outcome::NotMeasured; 2]);
        let case = Case::new("", Unit::Milliseconds)
            .ours(figure(4.0))
            .at_most(5.0)
            .works();
        assert_eq!(outcomes(&case), [Outcome::Met; 2]);
    }
}
