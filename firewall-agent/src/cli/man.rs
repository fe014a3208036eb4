//! `fwctl man`: manual pages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::{
    CliError, help,
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
        for (mut command, section) in [(help::command_line(), "1"), (daemon::command_line(), "8")] {
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
        render(command, &man, &mut text)?;
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

/// A page as `clap_mangen` makes it, but for what stands below the options in the help: examples are lines of their own,
/// and exit codes have the section in which manual pages have them.
fn render(command: &Command, man: &Man, text: &mut Vec<u8>) -> std::io::Result<()> {
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let (lists, paragraphs): (Vec<&str>, Vec<&str>) = help
        .split("\n\n")
        .filter(|block| !block.is_empty())
        .partition(|block| is_list(block) || block.starts_with(EXIT_CODES));
    man.render_title(text)?;
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    let mut description = Roff::new();
    for paragraph in paragraphs {
        description.control("PP", []).text([roman(paragraph)]);
    }
    description.to_writer(text)?;
    man.render_options_section(text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(text)?;
    }
    let mut sections = Roff::new();
    for list in lists {
        section(list, &mut sections);
    }
    sections.to_writer(text)?;
    if command.get_version().is_some() {
        man.render_version_section(text)?;
    }
    Ok(())
}

const EXIT_CODES: &str = "Exit codes:";

fn is_list(block: &str) -> bool {
    block
        .split_once('\n')
        .is_some_and(|(first, rest)| first.ends_with(':') && rest.starts_with(' '))
}

/// `Examples:` and lines as they are, or `Exit codes: …`.
fn section(block: &str, page: &mut Roff) {
    let (heading, rest) = block.split_once(':').unwrap_or((block, ""));
    let heading = match heading {
        "Example" => "EXAMPLES".to_owned(),
        "Exit codes" => "EXIT STATUS".to_owned(),
        other => other.to_uppercase(),
    };
    page.control("SH", [heading.as_str()]);
    match rest.strip_prefix('\n') {
        Some(lines) => {
            page.control("nf", []);
            for line in lines.lines() {
                page.text([roman(line)]);
            }
            page.control("fi", []);
        }
        None => {
            page.text([roman(rest.trim())]);
        }
    }
}

fn cannot_write(page: &Path, error: &std::io::Error) -> CliError {
    CliError::File(format!("cannot write {}: {error}", page.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stand_as_they_are_typed() {
        let command = Command::new("fwctl-x").about("Does x").after_help(
            "It is done at once.\n\nExamples:\n  fwctl x a          .hidden\n  fwctl x b\n\nExit codes: 0 done; 1 no",
        );
        let mut text = Vec::new();
        render(&command, &Man::new(command.clone()), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let examples = ".SH EXAMPLES\n.nf\n  fwctl x a          .hidden\n  fwctl x b\n.fi\n";
        assert!(text.contains(examples), "{text}");
        assert!(text.contains(".SH \"EXIT STATUS\"\n0 done; 1 no\n"), "{text}");
        let place = |part| text.find(part).expect("it is there");
        assert!(place("It is done at once.") < place(".SH OPTIONS"), "{text}");
        assert!(!text.contains("EXTRA"), "{text}");
    }
}
