//! What a change that may wait for its confirmation is asked with.

use crate::{cli::span::Span, control::protocol::Confirm};

/// Whether a change waits for its confirmation, and for how long.
#[derive(Debug, clap::Args)]
pub(super) struct Window {
    /// How long it waits for `fwctl confirm`: 60s, 5m. By default 60s while a management connection is open.
    #[arg(long, value_name = "TIME", conflicts_with = "no_confirm")]
    confirm: Option<Span>,
    /// It holds at once.
    #[arg(long)]
    no_confirm: bool,
    /// Also where it would cut a management connection.
    #[arg(long, conflicts_with = "no_confirm", requires = "confirm")]
    pub(super) force: bool,
}

impl Window {
    pub(super) fn confirm(&self) -> Confirm {
        match &self.confirm {
            Some(span) => Confirm::Within(span.seconds()),
            None if self.no_confirm => Confirm::No,
            None => Confirm::Auto,
        }
    }
}
