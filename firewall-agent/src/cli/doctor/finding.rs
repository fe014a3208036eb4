//! One thing that was looked at.

use schemars::JsonSchema;
use serde::Serialize;

/// How much weight it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Level {
    /// Packets are not judged as they should be, or will not be.
    Problem,
    /// Something may go wrong.
    Warning,
    /// Worth knowing.
    Note,
    /// All right.
    Good,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Finding {
    /// What was looked at: `kernel`, `clock`, `agent`, `policy`, `interface`, `drift`, `table`, `drops`.
    pub(super) check: &'static str,
    pub(super) level: Level,
    #[serde(rename = "finding")]
    pub(super) text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn new(check: &'static str, level: Level, text: impl Into<String>) -> Self {
        Self {
            check,
            level,
            text: text.into(),
            advice: None,
        }
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into()).filter(|advice| !advice.is_empty());
        self
    }
}

/// Everything that was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Report {
    pub(super) problems: usize,
    pub(super) warnings: usize,
    /// The weightiest first.
    pub(super) findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        Self {
            problems: count(Level::Problem),
            warnings: count(Level::Warning),
            findings,
        }
    }

    /// Findings of weight.
    pub(super) const fn heavy(&self) -> usize {
        self.problems + self.warnings
    }

    pub(super) fn notes(&self) -> usize {
        let notes = self
            .findings
            .iter()
            .filter(|finding| finding.level == Level::Note);
        notes.count()
    }
}
