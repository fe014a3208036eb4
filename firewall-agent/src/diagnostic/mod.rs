//! Findings about policy files: what is wrong, where, how bad it is and what to do about it.
//!
//! A [`Diagnostic`] is data. [`render_text`] draws it for people and [`to_json`] turns it into data for programs.

mod code;
mod json;
mod source;
mod text;

use std::sync::Arc;

pub use code::{Code, Severity};
pub use json::{JsonDiagnostic, JsonLabel, to_json};
pub use source::{FileId, Place, Position, SourceFile, SourceSet};
pub use text::{Style, render_text};

/// A place with a short remark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// What is to be seen there; may be empty.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of finding.
    pub code: Code,
    /// One sentence without a full stop.
    pub message: String,
    /// The place that the operator has to change.
    pub primary: Label,
    /// Other places that have to do with it.
    pub secondary: Vec<Label>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The hosts (or roles without a host) that it concerns; empty where it concerns the files as such.
    pub targets: Vec<Arc<str>>,
}

impl Diagnostic {
    /// A finding at `place`.
    #[must_use]
    pub fn new(code: Code, place: &Place, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            primary: Label {
                place: place.clone(),
                text: String::new(),
            },
            secondary: Vec::new(),
            hint: None,
            targets: Vec::new(),
        }
    }

    /// Puts a remark at the primary place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// Points to another place as well.
    #[must_use]
    pub fn also(mut self, place: &Place, text: impl Into<String>) -> Self {
        self.secondary.push(Label {
            place: place.clone(),
            text: text.into(),
        });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether it makes the policy unusable.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}
