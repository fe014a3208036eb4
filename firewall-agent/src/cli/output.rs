//! Text, tables and JSON on standard output; complaints on standard error.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use serde::Serialize;

use super::{
    CliError, Colour,
    harmless::{harmless, is_command},
};
use crate::control::protocol::{FileDifference, Finding};

/// Columns of a terminal that tables are fitted to.
const LEAST_WIDTH: u16 = 60;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done = 0,
    /// Problems were found, or the agent refused.
    No = 1,
    /// The command line is wrong, or a file cannot be read or written.
    Usage = 2,
    /// The agent cannot be reached.
    Unreachable = 3,
    /// The user may not do that.
    Denied = 4,
}

impl Exit {
    pub(super) fn from_clap(error: &clap::Error) -> Self {
        if error.use_stderr() {
            Self::Usage
        } else {
            Self::Done
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What a word means, where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Doubtful,
    Faint,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Doubtful => AnsiColor::Yellow.on_default(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

/// Where a command writes to.
pub(super) struct Output {
    json: bool,
    colour: bool,
    terminal: bool,
}

impl Output {
    pub(super) fn new(json: bool, colour: Colour) -> Self {
        let choice = match colour {
            Colour::Always => anstream::ColorChoice::Always,
            Colour::Never => anstream::ColorChoice::Never,
            Colour::Auto => anstream::AutoStream::choice(&io::stdout()),
        };
        Self {
            json,
            colour: !json && choice != anstream::ColorChoice::Never,
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Whether JSON is wanted instead of text.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether text may have colour.
    pub(super) const fn has_colour(&self) -> bool {
        self.colour
    }

    /// Whether somebody is looking.
    pub(super) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints `value` as JSON, or what `text` makes of it.
    pub(super) fn print<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&Self, &T) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            return json(value);
        }
        write(&text(self, value))
    }

    /// The same, where more follows: as JSON each value is one line.
    pub(super) fn print_one_of_many<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&Self, &T) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            return write_as_it_is(&format!("{}\n", serde_json::to_string(value)?));
        }
        write(&text(self, value))
    }

    /// The text in a tone, if there is colour.
    pub(super) fn paint(&self, tone: Tone, text: impl AsRef<str>) -> String {
        let (style, text) = (tone.style(), text.as_ref());
        if self.colour {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// A table with these headings; columns whose heading begins with `>` are numbers.
    pub(super) fn table(&self, headings: &[&str]) -> Table {
        let mut table = Table::new();
        // A terminal that is too narrow for columns, or does not say how wide it is, wraps lines better by itself.
        let fits = self.terminal && table.width().is_some_and(|width| width >= LEAST_WIDTH);
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(if fits {
                ContentArrangement::Dynamic
            } else {
                ContentArrangement::Disabled
            });
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(headings.iter().map(|heading| {
            let cell = Cell::new(heading.trim_start_matches('>'));
            if self.colour {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        }));
        for (index, heading) in headings.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_padding((0, 2));
                if heading.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        table
    }

    /// A cell of a table in a tone, if there is colour.
    pub(super) fn cell(&self, tone: Tone, text: impl ToString) -> Cell {
        let cell = Cell::new(text);
        if !self.colour {
            return cell;
        }
        match tone {
            Tone::Good => cell.fg(Color::Green),
            Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
            Tone::Doubtful => cell.fg(Color::Yellow),
            Tone::Faint => cell.add_attribute(Attribute::Dim),
        }
    }

    /// Says on standard error what went wrong and what to do next.
    pub(super) fn complain(&self, error: &CliError) {
        let mut stderr = anstream::stderr().lock();
        let mut text = String::new();
        if let Some(failure) = error.failure() {
            text.push_str(&findings(&failure.findings));
            text.push_str(&differences(&failure.differences));
        }
        let bad = Tone::Bad.style();
        let _ = writeln!(text, "{bad}error{bad:#}: {error}");
        if let Some(hint) = error.hint() {
            let faint = Tone::Faint.style();
            let _ = writeln!(text, "{faint}hint{faint:#}: {hint}");
        }
        // With standard error closed there is nobody to tell.
        let _ = stderr.write_all(harmless(&text).as_bytes());
        if self.json {
            let _ = json(&match error.failure() {
                Some(failure) => serde_json::json!({ "error": failure }),
                None => serde_json::json!({ "error": {
                    "kind": error.kind(),
                    "message": error.to_string(),
                    "hint": error.hint(),
                } }),
            });
        }
    }
}

fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write_as_it_is(&text)
}

/// Writes to standard output at once, for people.
pub(super) fn write(text: &str) -> Result<(), CliError> {
    write_as_it_is(&harmless(text))
}

/// The same for programs.
fn write_as_it_is(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Findings for people, drawn by the agent.
pub(super) fn findings(findings: &[Finding]) -> String {
    findings.iter().fold(String::new(), |mut text, finding| {
        text.push_str(&finding.text);
        text.push_str("\n\n");
        text
    })
}

/// Files three ways: loaded, on disk, wanted.
fn differences(differences: &[FileDifference]) -> String {
    let mut text = String::new();
    for file in differences {
        let path = file.path.display();
        let on_disk = (!file.on_disk.is_empty()).then_some(&file.on_disk);
        for (what, lines) in [("on disk", on_disk), ("wanted", file.wanted.as_ref())] {
            let Some(lines) = lines else { continue };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{path}: from what is in force to what is {what}");
            for line in lines.lines() {
                let _ = writeln!(text, "  {}", printable(line));
            }
            text.push('\n');
        }
    }
    text
}

/// A line of a file without what a terminal would take for a command.
pub(super) fn printable(line: &str) -> String {
    let shown = |character: char| {
        if is_command(character) && character != '\t' {
            '\u{fffd}'
        } else {
            character
        }
    };
    line.chars().map(shown).collect()
}

/// A table as text, each line without trailing blanks.
pub(super) fn lines(table: &Table) -> String {
    table.lines().fold(String::new(), |mut text, line| {
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

/// A number of things.
pub(super) fn plural(count: impl TryInto<u64>, noun: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// Bytes with a binary prefix.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count;
    let mut rest = 0;
    let mut unit = 0;
    while value >= 1024 && unit + 1 < UNITS.len() {
        rest = value % 1024;
        value /= 1024;
        unit += 1;
    }
    if unit == 0 {
        return format!("{count} B");
    }
    format!("{value}.{} {}", rest * 10 / 1024, UNITS[unit])
}

/// Seconds as hours, minutes and seconds.
pub(super) fn duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest:02}s"),
        _ => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16383.9 PiB");
        assert_eq!(duration(59), "59s");
        assert_eq!(duration(61), "1m01s");
        assert_eq!(duration(7440), "2h04m");
    }
}
