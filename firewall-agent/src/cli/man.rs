//! `fwctl man`: manual pages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::{
    Arguments, CliError,
    output::{Exit, write},
};
use crate::daemon;

/// Writes manual pages of `fwctl`, its subcommands and `firewall-agent` into a directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl man /usr/local/share/man/man1")]
pub(super) struct Pages {
    /// The directory.
    directory: PathBuf,
}

impl Pages {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        for (mut command, section) in [(Arguments::command(), "1"), (daemon::command_line(), "8")] {
            command.build();
            self.write(&command, section)?;
        }
        Ok(Exit::Done)
    }

    /// The page of a command, and those of its subcommands: `fwctl-rule-add.1` is about `fwctl rule add`.
    fn write(&self, command: &Command, section: &str) -> Result<(), CliError> {
        let man = Man::new(command.clone()).section(section);
        let page = self.directory.join(man.get_filename());
        let mut text = Vec::new();
        man.render(&mut text)?;
        fs::write(&page, text).map_err(|error| cannot_write(&page, &error))?;
        write(&format!("{}\n", page.display()))?;
        let below = command
            .get_subcommands()
            .filter(|below| below.get_name() != "help");
        for below in below {
            self.write(below, section)?;
        }
        Ok(())
    }
}

fn cannot_write(page: &Path, error: &std::io::Error) -> CliError {
    CliError::File(format!("cannot write {}: {error}", page.display()))
}
