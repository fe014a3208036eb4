//! What stands below the options in the help of each command, for screens of any width.

use clap::{Command, CommandFactory};

use super::Arguments;

/// The command line of `fwctl`, with help that clap alone breaks into lines.
pub(super) fn command_line() -> Command {
    flowing(Arguments::command())
}

fn flowing(mut command: Command) -> Command {
    if let Some(text) = command.get_after_help() {
        let text = text.to_string();
        command = command.after_help(joined(&text));
    }
    command.mut_subcommands(flowing)
}

/// The text with each paragraph in one line. Lines that are indented, or introduced by a colon, stay as they are.
fn joined(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut before = "";
    for line in text.lines() {
        let goes_on = !(before.is_empty() || before.ends_with(':') || before.starts_with(' '));
        if goes_on && !line.is_empty() && !line.starts_with(' ') {
            joined.push(' ');
        } else if !joined.is_empty() {
            joined.push('\n');
        }
        joined.push_str(line);
        before = line;
    }
    joined
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::edit::words;

    #[test]
    fn paragraphs_are_joined_and_lists_are_not() {
        let text = "One\ntwo.\n\nExamples:\n  fwctl a\n  fwctl b\n\nThree\nfour\n  as it is\nfive";
        let expected = "One two.\n\nExamples:\n  fwctl a\n  fwctl b\n\nThree four\n  as it is\nfive";
        assert_eq!(joined(text), expected);
    }

    /// Every command below this one, with its words.
    fn commands(command: &Command, words: &str, found: &mut Vec<(String, String)>) {
        let help = command.get_after_help().map(ToString::to_string);
        found.push((words.to_owned(), help.unwrap_or_default()));
        for below in command.get_subcommands() {
            commands(below, &format!("{words} {}", below.get_name()), found);
        }
    }

    /// The command of a line of examples, without what a shell makes of it and what is said about it.
    fn example(line: &str) -> Option<&str> {
        let at = line.strip_prefix("  ")?.find("fwctl ")?;
        let command = &line[at + 2..];
        let end = ["  ", " | ", " > ", " < ", " && "]
            .iter()
            .filter_map(|end| command.find(end))
            .min();
        Some(&command[..end.unwrap_or(command.len())])
    }

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        let mut found = Vec::new();
        commands(&command_line(), "fwctl", &mut found);
        for (words, help) in found {
            let examples: Vec<&str> = help.lines().filter_map(example).collect();
            assert!(!examples.is_empty(), "{words} has no examples");
            for example in examples {
                let typed = words::words(example).unwrap_or_else(|error| panic!("{example}: {error}"));
                if let Err(error) = Arguments::try_parse_from(typed) {
                    panic!("{words}: {example}: {error}");
                }
            }
        }
        assert_eq!(
            example("  tcpdump -w - | fwctl status --json | jq .x"),
            Some("fwctl status --json")
        );
        assert_eq!(example("fwctl is a word here"), None);
    }
}
