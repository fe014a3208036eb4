//! `fwctl pause`.

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        span::Span,
    },
    control::protocol::Request,
};

/// A time, or the word that ends a pause.
#[derive(Debug, Clone, Copy)]
enum Length {
    For(Span),
    Off,
}

impl std::str::FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            text => text.parse().map(Self::For),
        }
    }
}

const EXAMPLES: &str = "\
The kernel ends it by itself, also with the agent dead. Meanwhile the status, the metric firewall_mode and the log say so, and packets are counted under the reason `paused`.

Examples:
  fwctl pause 5m -m 'is it the firewall?'
  fwctl pause off";

/// Lets everything pass for a while.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Pause {
    /// How long: 90s, 5m; or `off` to end it before.
    #[arg(value_name = "TIME|off")]
    length: Length,
    /// Why; kept in the history.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Pause {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::Pause {
            seconds: match self.length {
                Length::For(span) => Some(span.seconds()),
                Length::Off => None,
            },
            why: self.why,
        };
        let changed = expect_response!(agent, request, Mode);
        output.print(&changed, super::text)?;
        Ok(Exit::Done)
    }
}
