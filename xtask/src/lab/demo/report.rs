//! The demonstration's table.

use std::{fmt, time::Instant};

use anyhow::{Result, ensure};
use comfy_table::{Cell, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

/// One thing tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Who tried what.
    pub(crate) tried: String,
    /// What should come of it.
    pub(crate) expected: String,
    /// What came of it.
    pub(crate) seen: String,
    decision: Decision,
}

/// What has decided, and how far its counters rose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    text: String,
    as_expected: bool,
}

impl Default for Decision {
    /// Nothing: no firewall is loaded, or what decided is not the point.
    fn default() -> Self {
        Self::noted("")
    }
}

impl Decision {
    /// What has decided, and whether it is what should have.
    pub(crate) fn new(text: impl Into<String>, as_expected: bool) -> Self {
        Self {
            text: text.into(),
            as_expected,
        }
    }

    /// Something worth knowing that no expectation is about.
    pub(crate) fn noted(text: impl Into<String>) -> Self {
        Self::new(text, true)
    }
}

impl Row {
    /// A row that nothing is said about in its last column.
    pub(crate) fn new(
        tried: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        Self {
            tried: tried.into(),
            expected: expected.into(),
            seen: seen.into(),
            decision: Decision::default(),
        }
    }

    /// The row with what decided.
    pub(crate) fn decided(self, decision: Decision) -> Self {
        Self { decision, ..self }
    }

    fn is_as_expected(&self) -> bool {
        self.expected == self.seen && self.decision.as_expected
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} (expected: {})", self.tried, self.seen, self.expected)?;
        if self.decision.text.is_empty() {
            return Ok(());
        }
        write!(out, ", decided by {}", self.decision.text)
    }
}

/// The rows so far, in sections.
#[derive(Default)]
pub(crate) struct Report {
    sections: Vec<(String, Vec<Row>)>,
}

impl Report {
    /// Adds a section. What keeps it from being finished is a row of it, so that the other sections go on.
    pub(crate) fn section(&mut self, title: &str, work: impl FnOnce(&mut Self) -> Result<()>) {
        println!("lab: {title}");
        let start = Instant::now();
        self.sections.push((title.to_owned(), Vec::new()));
        if let Err(error) = work(self) {
            self.add(Row::new(
                "the rest of this section",
                "tried",
                format!("{error:#}"),
            ));
        }
        println!("lab: {title}: done in {:.1} s", start.elapsed().as_secs_f64());
    }

    /// Adds a row to the section begun last.
    pub(crate) fn add(&mut self, row: Row) {
        if !row.is_as_expected() {
            println!("lab: not as expected: {row}");
        }
        match self.sections.last_mut() {
            Some((_, rows)) => rows.push(row),
            None => self.sections.push((String::new(), vec![row])),
        }
    }

    /// Prints the table; an error that names them if rows are not as expected.
    pub(crate) fn finish(self) -> Result<()> {
        println!("{}", self.table());
        let rows = || self.sections.iter().flat_map(|(_, rows)| rows);
        let wrong: Vec<String> = rows()
            .filter(|row| !row.is_as_expected())
            .map(Row::to_string)
            .collect();
        ensure!(
            wrong.is_empty(),
            "{} of {} rows are not as expected:\n{}",
            wrong.len(),
            rows().count(),
            wrong.join("\n")
        );
        println!("all {} rows are as expected", rows().count());
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_preset(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(["", "tried", "expected", "seen", "decided by (packets counted)"]);
        for (title, rows) in &self.sections {
            table.add_row(["", &format!("── {title}"), "", "", ""]);
            for row in rows {
                let mark = if row.is_as_expected() { "ok" } else { "WRONG" };
                let columns = [mark, &row.tried, &row.expected, &row.seen, &row.decision.text];
                table.add_row(columns.map(Cell::new));
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_row_other_than_expected_is_marked_and_fails() {
        let mut report = Report::default();
        report.section("one", |report| {
            report.add(Row::new("a", "reached", "reached"));
            report.add(Row::new("b", "silence", "reached"));
            Ok(())
        });
        assert_eq!(report.table().to_string().matches("WRONG").count(), 1);
        assert_eq!(
            report.finish().unwrap_err().to_string(),
            "1 of 2 rows are not as expected:\nb: reached (expected: silence)"
        );
    }

    #[test]
    fn a_row_that_another_rule_decided_fails() {
        let mut report = Report::default();
        let row = Row::new("a", "silence", "silence");
        report.add(row.clone().decided(Decision::noted("by default")));
        report.add(row.decided(Decision::new("ssh: 0", false)));
        assert_eq!(
            report.finish().unwrap_err().to_string(),
            "1 of 2 rows are not as expected:\na: silence (expected: silence), decided by ssh: 0"
        );
    }

    #[test]
    fn a_section_that_breaks_off_is_a_row_that_fails() {
        let mut report = Report::default();
        report.section("one", |_| Err(anyhow!("no such host")));
        report.section("two", |report| {
            report.add(Row::new("a", "reached", "reached"));
            Ok(())
        });
        assert!(report.table().to_string().contains("no such host"));
        assert_eq!(
            report.finish().unwrap_err().to_string(),
            "1 of 2 rows are not as expected:\nthe rest of this section: no such host (expected: tried)"
        );
    }

    #[test]
    fn rows_as_expected_pass() {
        let mut report = Report::default();
        report.add(Row::new("a", "reached", "reached"));
        assert!(report.finish().is_ok());
    }
}
