//! `fwctl apply`, `confirm` and `cancel`: a policy put in force, for good or until it is confirmed.

mod cancel;
mod confirm;
pub(super) mod files;
mod rollback;
mod window;

use std::{fmt::Write, path::PathBuf};

use self::window::Window;
pub(super) use self::{cancel::Cancel, confirm::Keep, rollback::Rollback};
use super::{
    Agent, CliError, expect_response,
    output::{Exit, Output, Tone},
    reload,
};
use crate::control::protocol::{self, Changed, ConfirmStatus, Request};

const EXAMPLES: &str = "\
With a window, the kernel itself goes back at its end unless `fwctl confirm` comes first: also with the agent killed, and with you locked out. A restart of the agent keeps the deadline; after a reboot the last confirmed policy is in force. The revision counts, and files are written, at the confirmation.

Examples:
  fwctl apply -m 'opening day'               the policy files; 60 s to confirm where you come over the network
  fwctl apply --confirm 5m new/web.toml      this text in the place of web.toml, written at the confirmation
  fwctl shadow new/web.toml && fwctl apply --require-shadow new/web.toml
  fwctl apply --no-confirm -m 'from cron'";

/// Puts a policy in force: as a whole or not at all, and until it is confirmed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Apply {
    /// Files that take the places of the policy files of the same names, or are new; the policy files as they are on
    /// disk where none is named.
    files: Vec<PathBuf>,
    #[command(flatten)]
    window: Window,
    /// Refuse it unless `fwctl shadow` was run with exactly these files within the last hour, beside the policy in force,
    /// and nothing that passed would have been kept out.
    #[arg(long)]
    require_shadow: bool,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Apply {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::Apply(Box::new(protocol::Apply {
            files: files::read(&self.files)?,
            confirm: self.window.confirm(),
            force: self.window.force,
            require_shadow: self.require_shadow,
            why: self.why,
        }));
        let changed = expect_response!(agent, request, Changed);
        output.print(&changed, text)?;
        Ok(Exit::Done)
    }
}

/// What it has done, and what it waits for.
pub(super) fn text(output: &Output, changed: &Changed) -> String {
    let mut text = reload::text(output, changed);
    if let Some(confirm) = &changed.confirm {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", waiting(output, confirm));
    }
    text
}

/// What waits, until when, and what to do.
pub(super) fn waiting(output: &Output, confirm: &ConfirmStatus) -> String {
    let back = confirm.fallback.map_or_else(
        || "what was in force before".to_owned(),
        |number| format!("revision {number}"),
    );
    format!(
        "{} until {:.0} ({} s left): `fwctl confirm` keeps it, `fwctl cancel` takes it back; without either the \
         kernel goes back to {back} by itself",
        output.paint(Tone::Doubtful, "not confirmed:"),
        confirm.deadline,
        confirm.seconds_left
    )
}
