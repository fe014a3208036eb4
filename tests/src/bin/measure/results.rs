//! What a run of the benchmarks yields, as it is written to JSON and read again for tables and plots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The candidate that the others are set beside.
pub(crate) const OURS: &str = "firewall-agent";

/// A whole run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// What it ran on.
    pub(crate) machine: Machine,
    /// Versions of the peers, by name.
    pub(crate) peers: BTreeMap<String, String>,
    /// Turns that each candidate has taken.
    pub(crate) rounds: usize,
    /// Rows in the order of their numbers.
    pub(crate) rows: Vec<Row>,
}

/// What a run was made on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Model name of the processor.
    pub(crate) processor: String,
    /// Number of processors.
    pub(crate) processors: usize,
}

/// One of the questions that the benchmarks answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its number.
    pub(crate) number: u8,
    /// What is asked.
    pub(crate) what: String,
    /// What was measured for it.
    pub(crate) cases: Vec<Case>,
}

/// What figures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    /// Nanoseconds a packet.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Connections or requests a second.
    PerSecond,
    /// Gigabits a second.
    GigabitsPerSecond,
    /// Mebibytes.
    Mebibytes,
    /// Percent of one processor.
    Percent,
    /// A number of something.
    Count,
}

impl Unit {
    /// As it stands behind a figure.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::PerSecond => "/s",
            Self::GigabitsPerSecond => "Gb/s",
            Self::Mebibytes => "MiB",
            Self::Percent => "%",
            Self::Count => "",
        }
    }

    /// Whether a larger figure is the better one.
    pub(crate) const fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::GigabitsPerSecond | Self::Count)
    }
}

/// The candidates on one set of packets, or of whatever else is measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Case {
    /// What they were given.
    pub(crate) name: String,
    /// What is drawn from it, if anything is: cases of a series differ in `size` only.
    pub(crate) series: Option<String>,
    /// Number of rules, addresses or flows.
    pub(crate) size: u64,
    /// What the figures count.
    pub(crate) unit: Unit,
    /// Of each candidate, ours first.
    pub(crate) entries: Vec<Entry>,
    /// What was to be reached.
    pub(crate) checks: Vec<Check>,
    /// What a reader has to know beside: why nothing was measured, how the figures came about.
    pub(crate) note: Option<String>,
}

/// A candidate's figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The candidate.
    pub(crate) who: String,
    /// Its figure.
    pub(crate) figure: Figure,
    /// Not measured here, but a figure from elsewhere, scaled by one that was.
    pub(crate) scaled: bool,
}

/// Middle and spread of some rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The middle one.
    pub(crate) median: f64,
    /// A quarter of the rounds gave less.
    pub(crate) lower: f64,
    /// A quarter of the rounds gave more.
    pub(crate) upper: f64,
    /// All of them, in the order of the rounds.
    pub(crate) rounds: Vec<f64>,
}

/// What was to be reached, and whether it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Check {
    /// Whom our figure is set beside, if anyone.
    pub(crate) beside: Option<String>,
    /// What was to be reached, in words.
    pub(crate) target: String,
    /// The ratio or the figure that it speaks of; `None` where that was not measured.
    pub(crate) value: Option<f64>,
    /// Whether it was reached.
    pub(crate) met: bool,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything in it was reached.
    Met,
    /// Something in it was measured and not reached.
    NotMet,
    /// Something in it was not measured, and nothing was missed.
    NotMeasured,
}

impl Outcome {
    /// In words.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Check {
    /// What became of it.
    pub(crate) const fn outcome(&self) -> Outcome {
        match (self.value, self.met) {
            (None, _) => Outcome::NotMeasured,
            (Some(_), true) => Outcome::Met,
            (Some(_), false) => Outcome::NotMet,
        }
    }
}

impl Row {
    /// What became of it.
    pub(crate) fn outcome(&self) -> Outcome {
        let of = |wanted| {
            self.cases
                .iter()
                .flat_map(|case| &case.checks)
                .any(|check| check.outcome() == wanted)
        };
        if of(Outcome::NotMet) {
            Outcome::NotMet
        } else if of(Outcome::NotMeasured) || !of(Outcome::Met) {
            Outcome::NotMeasured
        } else {
            Outcome::Met
        }
    }
}

impl Case {
    /// A candidate's figure.
    pub(crate) fn entry(&self, who: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.who == who)
    }
}

/// A figure as a table shows it: three digits where there are no more before the point.
pub(crate) fn digits(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 10_000.0 {
        format!("{:.1} k", value / 1000.0)
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(checks: Vec<Check>) -> Row {
        Row {
            number: 1,
            what: String::new(),
            cases: vec![Case {
                name: String::new(),
                series: None,
                size: 0,
                unit: Unit::Nanoseconds,
                entries: Vec::new(),
                checks,
                note: None,
            }],
        }
    }

    fn check(value: Option<f64>, met: bool) -> Check {
        Check {
            beside: None,
            target: String::new(),
            value,
            met,
        }
    }

    #[test]
    fn a_row_is_met_where_all_of_it_is() {
        let (met, missed, unknown) = (
            check(Some(1.0), true),
            check(Some(2.0), false),
            check(None, false),
        );
        assert_eq!(row(vec![met.clone(), met.clone()]).outcome(), Outcome::Met);
        assert_eq!(
            row(vec![met.clone(), missed, unknown.clone()]).outcome(),
            Outcome::NotMet
        );
        assert_eq!(row(vec![met, unknown]).outcome(), Outcome::NotMeasured);
        assert_eq!(row(Vec::new()).outcome(), Outcome::NotMeasured);
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            [0.4567, 12.34, 123.4, 1234.0, 431_000.0].map(digits),
            ["0.46", "12.3", "123", "1234", "431.0 k"]
        );
    }
}
