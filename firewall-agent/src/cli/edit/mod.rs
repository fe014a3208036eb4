//! `fwctl edit`: a policy file in an editor, or many edits at once.

mod batch;
mod editor;
pub(super) mod words;

use std::path::PathBuf;

use super::{
    Agent, CliError, editing,
    output::{Exit, Output},
};

const EXAMPLES: &str = "\
The file is opened in $VISUAL, $EDITOR or `editor`. What is wrong with it is shown, and you may edit again; then what differs and what it would change for rules and traffic, and you are asked. Over the network it waits for `fwctl confirm`, as `fwctl apply` does.

A batch has one edit in each line: what would stand behind `fwctl` (rule add, insert, replace, move, enable, disable, delete; set add, delete), or JSON. `#` begins a comment. All edits are made together, each to what the ones before have made, or none is; everything that is wrong is told of by line.

Examples:
  fwctl edit                                 this host's last layer
  fwctl edit base.toml -m 'new office'
  fwctl edit --batch monday.edits --why 'the new shop'
  printf 'rule disable old-site\\nrule add new-site --allow https --from any\\n' | fwctl edit --batch -
  echo '{\"rule-delete\":{\"name\":\"debug\"}}' | fwctl edit --batch -";

/// Opens a policy file in an editor, checks it, shows what would change, asks, and puts it in force; or makes many
/// edits as one transaction.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Edit {
    /// The policy file, by its path or its name alone; that of this host's last layer by default.
    #[arg(value_name = "POLICY-FILE", conflicts_with = "batch")]
    file: Option<PathBuf>,
    /// Edits from this file, one in each line, instead of an editor; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    batch: Option<PathBuf>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Edit {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        match self.batch {
            Some(batch) => editing::send(agent, output, batch::read(&batch, self.why)?),
            None => editor::run(agent, output, self.file.as_deref(), self.why.as_deref()),
        }
    }
}
