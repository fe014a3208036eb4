//! `fwctl reload`: puts the policy files in force.

use std::fmt::Write;

use super::{
    Agent, CliError, expect_response,
    output::{Exit, Output, Tone, findings},
};
use crate::control::protocol::{Changed, Request};

/// Puts the policy files in force, as a whole or not at all.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl reload --why 'new mirror'")]
pub(super) struct Reload {
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Reload {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let changed = expect_response!(agent, Request::Reload { why: self.why }, Changed);
        output.print(&changed, text)?;
        Ok(Exit::Done)
    }
}

/// What a change has done.
pub(super) fn text(output: &Output, changed: &Changed) -> String {
    let mut text = findings(&changed.warnings);
    let revision = changed.revision;
    // Writing to a string cannot fail.
    let _ = if changed.changed {
        let generation = changed.generation;
        writeln!(
            text,
            "{}: revision {revision} is in force (generation {generation})",
            output.paint(Tone::Good, "ok")
        )
    } else {
        writeln!(
            text,
            "{}: nothing has changed; revision {revision} is in force",
            output.paint(Tone::Good, "ok")
        )
    };
    for change in &changed.changes {
        let _ = writeln!(text, "  {change}");
    }
    for note in &changed.notes {
        let _ = writeln!(text, "{}: {note}", output.paint(Tone::Bad, "note"));
    }
    for file in &changed.files {
        let _ = writeln!(text, "  written to {}", file.display());
    }
    text
}
