//! `fwctl completions`: a completion script for a shell.

use clap_complete::Shell;

use super::{
    CliError, help,
    output::{Exit, write},
};

/// Prints a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl completions bash > /etc/bash_completion.d/fwctl")]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut help::command_line(), "fwctl", &mut script);
        write(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
