//! The demonstration's table.

use anyhow::{Result, bail};
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
    /// The rule or reason that decided, and how far its counter rose.
    pub(crate) decided: String,
}

impl Row {
    /// A row that no rule has decided, because no firewall is loaded or more than one had a say.
    pub(crate) fn new(
        tried: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        Self {
            tried: tried.into(),
            expected: expected.into(),
            seen: seen.into(),
            decided: String::new(),
        }
    }

    fn is_as_expected(&self) -> bool {
        self.expected == self.seen
    }
}

/// The rows so far, in sections.
#[derive(Default)]
pub(crate) struct Report {
    sections: Vec<(String, Vec<Row>)>,
}

impl Report {
    /// Begins a section.
    pub(crate) fn section(&mut self, title: &str) {
        println!("lab: {title}");
        self.sections.push((title.to_owned(), Vec::new()));
    }

    /// Adds a row to the section begun last.
    pub(crate) fn add(&mut self, row: Row) {
        match self.sections.last_mut() {
            Some((_, rows)) => rows.push(row),
            None => self.sections.push((String::new(), vec![row])),
        }
    }

    /// Prints the table; an error if a row is not as expected.
    pub(crate) fn finish(self) -> Result<()> {
        println!("{}", self.table());
        let rows = || self.sections.iter().flat_map(|(_, rows)| rows);
        let wrong = rows().filter(|row| !row.is_as_expected()).count();
        if wrong > 0 {
            bail!("{wrong} of {} rows are not as expected", rows().count());
        }
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
                table.add_row([mark, &row.tried, &row.expected, &row.seen, &row.decided].map(Cell::new));
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_other_than_expected_is_marked_and_fails() {
        let mut report = Report::default();
        report.section("one");
        report.add(Row::new("a", "reached", "reached"));
        report.add(Row::new("b", "silence", "reached"));
        assert_eq!(report.table().to_string().matches("WRONG").count(), 1);
        assert_eq!(
            report.finish().unwrap_err().to_string(),
            "1 of 2 rows are not as expected"
        );
    }

    #[test]
    fn rows_as_expected_pass() {
        let mut report = Report::default();
        report.add(Row::new("a", "reached", "reached"));
        assert!(report.finish().is_ok());
    }
}
