//! Edits from a file or standard input, as one transaction.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use clap::{Parser, Subcommand};

use super::words::words;
use crate::{
    cli::{CliError, editing::Editing, rule, set},
    control::protocol::{Edit, Edits, LineEdit},
};

/// Longer ones are no edits that somebody has written.
const MOST_BYTES: u64 = 16 << 20;

/// One line: what would stand behind `fwctl`.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
struct Line {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    #[command(subcommand)]
    Rule(Box<rule::Change>),
    #[command(subcommand)]
    Set(SetChange),
}

#[derive(Debug, Subcommand)]
enum SetChange {
    Add(set::entries::Add),
    Delete(set::entries::Delete),
}

/// The edits of a file; `-` is standard input.
pub(super) fn read(path: &Path, why: Option<String>) -> Result<Edits, CliError> {
    let name = if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let text = text(path).map_err(|error| CliError::File(format!("{name}: {error}")))?;
    let edits = parse(&text).map_err(|faults| CliError::Usage(format!("{name}: {}", faults.join("\n"))))?;
    Ok(Edits { edits, why })
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MOST_BYTES + 1).read_to_string(&mut text)
    } else {
        File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)
    };
    if read? as u64 > MOST_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    Ok(text)
}

/// Every line, or what is wrong with all that are wrong.
fn parse(text: &str) -> Result<Vec<LineEdit>, Vec<String>> {
    let mut edits = Vec::new();
    let mut faults = Vec::new();
    for (number, line) in (1u32..).zip(text.lines()) {
        match parse_line(line) {
            Ok(found) => edits.extend(found.into_iter().map(|edit| LineEdit {
                line: Some(number),
                edit,
            })),
            Err(fault) => faults.push(format!("line {number}: {fault}")),
        }
    }
    if faults.is_empty() { Ok(edits) } else { Err(faults) }
}

fn parse_line(line: &str) -> Result<Vec<Edit>, String> {
    if line.trim_start().starts_with('{') {
        let edit = serde_json::from_str(line).map_err(|error| error.to_string())?;
        return Ok(vec![edit]);
    }
    let mut words = words(line)?;
    if words.is_empty() {
        return Ok(Vec::new());
    }
    // As it is written in a shell.
    if words.first().is_some_and(|word| word == "fwctl") {
        words.remove(0);
    }
    let line = Line::try_parse_from(words).map_err(|error| first_line(&error))?;
    let told = match &line.what {
        What::Rule(change) => change.why().is_some(),
        What::Set(SetChange::Add(change)) => change.why().is_some(),
        What::Set(SetChange::Delete(change)) => change.why().is_some(),
    };
    if told {
        return Err("`--why` is said once, for all edits: behind `fwctl edit`".to_owned());
    }
    let edits = match line.what {
        What::Rule(change) => change.edits(),
        What::Set(SetChange::Add(change)) => change.edits(),
        What::Set(SetChange::Delete(change)) => change.edits(),
    };
    edits.map_err(|error| error.to_string())
}

/// What is wrong, without usage and hints.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.trim().is_empty());
    let text = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    text.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::RulePlace;

    #[test]
    fn lines_are_commands_or_json() {
        let edits = parse(
            "# a comment\n\nrule move debug before ssh\nfwctl set add drop 192.0.2.1 192.0.2.2\n\
             rule disable a b\n{\"rule-delete\":{\"name\":\"c\"}}\n",
        )
        .expect("all are right");
        let lines: Vec<Option<u32>> = edits.iter().map(|edit| edit.line).collect();
        assert_eq!(lines, [Some(3), Some(4), Some(5), Some(5), Some(6)]);
        assert_eq!(
            edits[0].edit,
            Edit::RuleMove {
                name: "debug".into(),
                place: RulePlace::Before("ssh".into())
            }
        );
        assert_eq!(edits[4].edit, Edit::RuleDelete { name: "c".into() });
    }

    #[test]
    fn everything_that_is_wrong_is_told_of_by_line() {
        let faults = parse(
            "rule move debug\nrule delete a\nban 192.0.2.1\n{\"rule-delete\":{}}\nrule add x --allow 'y\n\
             rule delete a --why b\nrule move debug first ssh\nrule list\n",
        )
        .expect_err("most are wrong");
        let lines: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault.split(':').next())
            .collect();
        assert_eq!(
            lines,
            [
                "line 1", "line 3", "line 4", "line 5", "line 6", "line 7", "line 8"
            ],
            "{faults:#?}"
        );
        assert!(faults.iter().all(|fault| !fault.contains("Usage")), "{faults:#?}");
    }
}
