//! `fwctl edit`: many edits at once.

mod batch;
mod words;

use std::path::PathBuf;

use super::{
    Agent, CliError, editing,
    output::{Exit, Output},
};

const EXAMPLES: &str = "\
A batch has one edit in each line: what would stand behind `fwctl` (rule add, insert, replace, move, enable, disable, delete; set add, delete), or JSON. `#` begins a comment. All edits are made together, each to what the ones before have made, or none is; everything that is wrong is told of by line.

Examples:
  fwctl edit --batch monday.edits --why 'the new shop'
  printf 'rule disable old-site\\nrule add new-site --allow https --from any\\n' | fwctl edit --batch -
  echo '{\"rule-delete\":{\"name\":\"debug\"}}' | fwctl edit --batch -";

/// Makes many edits of the policy as one transaction, live and in the policy files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Edit {
    /// Edits from this file, one in each line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    batch: PathBuf,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Edit {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let edits = batch::read(&self.batch, self.why)?;
        editing::send(agent, output, edits)
    }
}
