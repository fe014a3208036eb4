//! Why a request was not done.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, JsonLabel, SourceSet, Style, render_text, to_json};

/// What kind of failure, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The request cannot be understood.
    BadRequest,
    /// The request is of a version that the agent does not speak.
    Version,
    /// The peer may not do that.
    Denied,
    /// Too many clients, or too slow a client.
    Busy,
    /// What is named does not exist.
    NotFound,
    /// The files on disk are not what is in force, or something else is in the way.
    Conflict,
    /// The policy has errors.
    Policy,
    /// The policy would cut who manages the host.
    LockOut,
    /// The kernel, or the disk, refused.
    Failed,
}

/// Why a request was not done. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people, in a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is wrong with the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Where the files on disk are not the ones in force: what differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<FileDifference>,
}

/// A policy file three ways: as it was loaded, as it is on disk, and as an edit wanted it. The differences are lines as
/// `diff -u` writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct FileDifference {
    /// Where it is.
    pub path: PathBuf,
    /// From what was loaded to what is on disk; empty where they are the same.
    pub on_disk: String,
    /// From what was loaded to what was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            findings: Vec::new(),
            differences: Vec::new(),
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A remark at a place of a policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Remark {
    /// File as the agent knows it.
    pub file: String,
    /// Line, from one.
    pub line: u32,
    /// Column in characters, from one.
    pub column: u32,
    /// What is to be seen there.
    pub message: String,
}

/// Something that is wrong or suspicious in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Finding {
    /// File as the agent knows it.
    pub file: String,
    /// Line, from one.
    pub line: u32,
    /// Column in characters, from one.
    pub column: u32,
    /// Stable code, such as `FW010`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Other places that have to do with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Remark>,
    /// Drawn for people, with an excerpt.
    pub text: String,
}

impl Finding {
    /// Turns a diagnostic into what can be sent.
    #[must_use]
    pub fn of(diagnostic: &Diagnostic, sources: &SourceSet) -> Self {
        let json = to_json(diagnostic, sources);
        Self {
            file: json.file,
            line: json.line,
            column: json.column,
            code: json.code.to_owned(),
            severity: json.severity.to_owned(),
            message: json.message,
            hint: json.hint,
            related: json.related.into_iter().map(Remark::from).collect(),
            text: render_text(diagnostic, sources, Style::Plain),
        }
    }

    /// Whether it is more than a warning.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

impl From<JsonLabel> for Remark {
    fn from(label: JsonLabel) -> Self {
        Self {
            file: label.file,
            line: label.line,
            column: label.column,
            message: label.message,
        }
    }
}
