//! Running other programs, with errors that say which program, with which arguments, said what.

use std::{
    io,
    process::{Command, ExitStatus, Output, Stdio},
};

use thiserror::Error;

/// How many lines of a failed program's output an error quotes.
const QUOTED_LINES: usize = 30;

/// Why another program did not do what it was started for.
#[derive(Debug, Error)]
pub(crate) enum ProcessError {
    /// It could not be started at all.
    #[error("cannot run `{command}`: {source}")]
    Start {
        /// The command line.
        command: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ran and failed; its output has already been seen.
    #[error("`{command}` failed ({status})")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It ran and failed, and its output was captured.
    #[error("`{command}` failed ({status}):\n{output}")]
    FailedQuietly {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of what it wrote.
        output: String,
    },
}

/// Runs a program whose output goes where this program's output goes.
pub(crate) fn run(command: &mut Command) -> Result<(), ProcessError> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| start_error(command, source))?;
    if status.success() {
        Ok(())
    } else {
        Err(ProcessError::Failed {
            command: line(command),
            status,
        })
    }
}

/// Runs a program and returns what it wrote to standard output; on failure the error quotes everything it wrote.
pub(crate) fn output(command: &mut Command) -> Result<String, ProcessError> {
    let output = capture(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(ProcessError::FailedQuietly {
        command: line(command),
        status: output.status,
        output: last_lines(&text),
    })
}

/// Whether a program can be started and ends well; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    capture(command).is_ok_and(|output| output.status.success())
}

fn capture(command: &mut Command) -> Result<Output, ProcessError> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| start_error(command, source))
}

fn start_error(command: &Command, source: io::Error) -> ProcessError {
    ProcessError::Start {
        command: line(command),
        source,
    }
}

/// The command line as one would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_returns_what_was_written() {
        assert_eq!(output(Command::new("echo").arg("hello")).unwrap(), "hello\n");
    }

    #[test]
    fn failure_names_the_command_and_quotes_its_output() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sh -c") && error.contains("broken") && error.contains('3'),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("/no/such/program"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot run `/no/such/program`"), "{error}");
        assert!(!succeeds(&mut Command::new("/no/such/program")));
    }

    #[test]
    fn only_the_last_lines_are_quoted() {
        let text = (0..100)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .join("\n");
        let quoted = last_lines(&text);
        assert_eq!(quoted.lines().count(), QUOTED_LINES);
        assert!(quoted.ends_with("99"));
    }
}
