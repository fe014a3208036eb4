//! Collects what is wrong while a file is read.

use std::ops::Range;

use super::super::suggest::nearest;
use crate::diagnostic::{Code, Diagnostic, FileId, Place};

/// A value with the place where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it is written.
    pub(crate) place: Place,
}

impl<T> Located<T> {
    pub(crate) const fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: change(self.value),
            place: self.place,
        }
    }
}

/// What is wrong with a value, before it is known where the value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds "did you mean" if one of `known` is close to `written`.
    pub(crate) fn suggest<'a>(mut self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        if let Some(name) = nearest(written, known) {
            self.hint = Some(format!("did you mean `{name}`?"));
        }
        self
    }

    pub(crate) fn at(self, code: Code, place: &Place) -> Diagnostic {
        let diagnostic = Diagnostic::new(code, place, self.message);
        match self.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        }
    }
}

/// The file that is being read and what was found in it so far.
///
/// The TOML parser goes on after a fault with what it could make of the line; what is found on such a line is noise
/// and not kept.
#[derive(Debug)]
pub(crate) struct Findings {
    file: FileId,
    found: Vec<Diagnostic>,
    not_kept: usize,
    faulty_lines: Vec<Range<usize>>,
}

impl Findings {
    pub(crate) const fn new(file: FileId) -> Self {
        Self {
            file,
            found: Vec::new(),
            not_kept: 0,
            faulty_lines: Vec::new(),
        }
    }

    /// Notes what the TOML parser has to say about a line.
    pub(crate) fn push_fault(&mut self, fault: Diagnostic, line: Range<usize>) {
        self.found.push(fault);
        self.faulty_lines.push(line);
    }

    /// Whether the TOML parser did not understand what begins there.
    pub(crate) fn is_faulty(&self, place: &Place) -> bool {
        let start = place.span.start;
        self.faulty_lines
            .iter()
            .any(|line| line.start <= start && start <= line.end)
    }

    pub(crate) const fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.file, span)
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.is_faulty(&diagnostic.primary.place) {
            self.not_kept += 1;
        } else {
            self.found.push(diagnostic);
        }
    }

    /// Keeps the good value, or notes what is wrong with the bad one.
    pub(crate) fn check<T>(&mut self, place: &Place, value: Result<T, Problem>) -> Option<T> {
        value
            .map_err(|problem| self.push(problem.at(Code::BadValue, place)))
            .ok()
    }

    /// How many findings there were; grows while an entry with faults is read.
    pub(crate) const fn count(&self) -> usize {
        self.found.len() + self.not_kept
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.found
    }
}
