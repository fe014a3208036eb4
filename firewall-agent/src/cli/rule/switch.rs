//! `fwctl rule enable` and `fwctl rule disable`.

use crate::{
    cli::{CliError, editing::Editing, span::Span},
    control::protocol::Edit,
};

/// Has rules take part again, live and in their policy files.
#[derive(Debug, clap::Args)]
#[command(after_help = ENABLE)]
pub(crate) struct Enable {
    #[command(flatten)]
    rules: Rules,
    /// How long they are to hold from now on (90s, 30m, 2h, 1d), if they are rules that end by themselves.
    #[arg(long = "for", id = "lasts", value_name = "TIME")]
    lasts: Option<Span>,
}

const ENABLE: &str = "\
The time of a rule that ends by itself goes on while it is switched off: it has what is left of it, unless --for says otherwise.

Examples:
  fwctl rule enable debug
  fwctl rule enable vendor --for 1h";

/// Switches rules off, live and in their policy files, where they stay with `enabled = false`. Live flows that they had
/// let in are judged again by the other rules.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl rule disable debug --why 'not needed for now'")]
pub(crate) struct Disable {
    #[command(flatten)]
    rules: Rules,
}

#[derive(Debug, clap::Args)]
struct Rules {
    /// Their names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Editing for Enable {
    fn why(&self) -> Option<&String> {
        self.rules.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        let mut edits = Vec::new();
        for name in self.rules.names {
            // First: what has ended takes part only with time left.
            if let Some(lasts) = self.lasts {
                let (name, seconds) = (name.clone(), lasts.seconds());
                edits.push(Edit::RuleTerm { name, seconds });
            }
            edits.push(Edit::RuleEnable { name });
        }
        Ok(edits)
    }
}

impl Editing for Disable {
    fn why(&self) -> Option<&String> {
        self.rules.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        let names = self.rules.names.into_iter();
        Ok(names.map(|name| Edit::RuleDisable { name }).collect())
    }
}
