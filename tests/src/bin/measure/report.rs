//! The table of figures.

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use serde_json::json;

use crate::rounds::Figure;

/// A case, what it takes, and what something else takes.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    case: String,
    figure: Figure,
    beside: Option<(&'static str, Figure)>,
}

impl Row {
    /// With nothing to compare with.
    pub(crate) const fn alone(case: String, figure: Figure) -> Self {
        Self {
            case,
            figure,
            beside: None,
        }
    }

    /// Beside something else, measured in the same rounds.
    pub(crate) const fn beside(mut self, other: Option<(&'static str, Figure)>) -> Self {
        self.beside = other;
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.beside
            .filter(|(_, other)| other.median > 0.0)
            .map(|(_, other)| self.figure.median / other.median)
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// As a table.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED).set_header([
            "case (ns a packet, net of an empty program)",
            "median",
            "quartiles",
            "beside",
            "median",
            "ratio",
        ]);
        for row in &self.0 {
            let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
            table.add_row([
                Cell::new(&row.case),
                right(format!("{:.0}", row.figure.median)),
                right(format!("{:.0}–{:.0}", row.figure.lower, row.figure.upper)),
                Cell::new(row.beside.map_or("", |(name, _)| name)),
                right(
                    row.beside
                        .map_or(String::new(), |(_, other)| format!("{:.0}", other.median)),
                ),
                right(row.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}"))),
            ]);
        }
        table
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Result<String> {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|row| {
                json!({
                    "case": row.case,
                    "nanoseconds": row.figure.json(),
                    "beside": row.beside.map(|(name, other)| json!({ "what": name, "nanoseconds": other.json() })),
                    "ratio": row.ratio(),
                })
            })
            .collect();
        Ok(serde_json::to_string_pretty(&rows)?)
    }
}
