//! Diagnostics as data for other programs.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Diagnostic, Label, SourceSet};

/// A remark at a place, for JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JsonLabel {
    /// File as the operator named it.
    pub file: String,
    /// Line, from one.
    pub line: u32,
    /// Column in characters, from one.
    pub column: u32,
    /// What is to be seen there.
    pub message: String,
}

/// A finding, for JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JsonDiagnostic {
    /// File as the operator named it.
    pub file: String,
    /// Line, from one.
    pub line: u32,
    /// Column in characters, from one.
    pub column: u32,
    /// Stable code, such as `FW010`.
    pub code: &'static str,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// What is wrong.
    pub message: String,
    /// The remark at the place itself.
    pub label: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that have to do with it.
    pub related: Vec<JsonLabel>,
    /// The hosts (or roles without a host) that it concerns; empty where it concerns the files as such.
    pub targets: Vec<String>,
}

/// Turns a finding into data that needs no source text to be understood.
#[must_use]
pub fn to_json(diagnostic: &Diagnostic, sources: &SourceSet) -> JsonDiagnostic {
    let place = &diagnostic.primary.place;
    let position = sources.position(place);
    JsonDiagnostic {
        file: sources.file(place.file).name().to_string(),
        line: position.line,
        column: position.column,
        code: diagnostic.code.id(),
        severity: diagnostic.severity().as_str(),
        message: diagnostic.message.clone(),
        label: diagnostic.primary.text.clone(),
        hint: diagnostic.hint.clone(),
        related: diagnostic
            .secondary
            .iter()
            .map(|label| related(label, sources))
            .collect(),
        targets: diagnostic.targets.iter().map(ToString::to_string).collect(),
    }
}

fn related(label: &Label, sources: &SourceSet) -> JsonLabel {
    let position = sources.position(&label.place);
    JsonLabel {
        file: sources.file(label.place.file).name().to_string(),
        line: position.line,
        column: position.column,
        message: label.text.clone(),
    }
}
