//! What was measured so far, and how it is shown.

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

use crate::results::{Case, Check, OURS, Outcome, Results, Row, digits};

/// What is asked, by number.
pub(crate) const QUESTIONS: [(u8, &str); 15] = [
    (1, "packet of a live flow"),
    (2, "packet of a live flow among a million"),
    (3, "first packet, last of 10 rules"),
    (4, "first packet, last of 100 and 1,000 rules"),
    (5, "first packet, last of 5,000 rules"),
    (6, "first packet, last of 10,000 rules and more"),
    (7, "block list of a million"),
    (8, "frames dropped by a list, over veth"),
    (9, "frames dropped by rules, over veth"),
    (10, "new connections and requests"),
    (11, "one bulk TCP stream"),
    (12, "time to put a policy in force"),
    (13, "memory, and time when idle"),
    (14, "outgoing packet of a live flow"),
    (15, "dropped packet beside a capture"),
];

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// For the record.
    pub(crate) results: Results,
}

impl Report {
    /// Adds a case to a row.
    pub(crate) fn add(&mut self, number: u8, case: Case) {
        let rows = &mut self.results.rows;
        let place = rows.partition_point(|row| row.number < number);
        if rows.get(place).is_none_or(|row| row.number != number) {
            let question = QUESTIONS.iter().find(|(other, _)| *other == number);
            let row = Row {
                number,
                what: question.map_or(String::new(), |(_, what)| (*what).to_owned()),
                cases: Vec::new(),
            };
            rows.insert(place, row);
        }
        rows[place].cases.push(case);
    }

    /// As a table.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED).set_header([
            "row",
            "case",
            "ours",
            "quartiles",
            "beside",
            "median",
            "quartiles",
            "target",
            "is",
            "",
        ]);
        for row in &self.results.rows {
            let outcome = row.outcome().word();
            table.add_row(
                [row.number.to_string(), row.what.clone()]
                    .into_iter()
                    .chain(std::iter::repeat_n(String::new(), 7).chain([outcome.to_owned()])),
            );
            for case in &row.cases {
                add_case(&mut table, case);
            }
        }
        table
    }

    /// Notes of cases, by row.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for row in &self.results.rows {
            for case in &row.cases {
                if let Some(note) = &case.note {
                    notes.push(format!("row {}, {}: {note}", row.number, case.name));
                }
            }
        }
        notes
    }
}

/// A line for each candidate and each thing that was to be reached.
fn add_case(table: &mut Table, case: &Case) {
    let unit = case.unit.word();
    let mut own = case.entry(OURS).map_or([const { String::new() }; 2], |entry| {
        let figure = &entry.figure;
        [
            format!("{} {unit}", digits(figure.median)),
            format!("{}–{}", digits(figure.lower), digits(figure.upper)),
        ]
    });
    let mut name = case.name.clone();
    let mut line = |who: &str, check: Option<&Check>| {
        let other = case.entry(who).filter(|_| who != OURS);
        let star = if other.is_some_and(|entry| entry.scaled) {
            "*"
        } else {
            ""
        };
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let [median, quartiles] = std::mem::take(&mut own);
        table.add_row([
            Cell::new(""),
            Cell::new(std::mem::take(&mut name)),
            right(median),
            right(quartiles),
            Cell::new(other.map_or("", |entry| &entry.who)),
            right(other.map_or(String::new(), |entry| {
                format!("{}{star} {unit}", digits(entry.figure.median))
            })),
            right(other.map_or(String::new(), |entry| {
                format!("{}–{}", digits(entry.figure.lower), digits(entry.figure.upper))
            })),
            Cell::new(check.map_or("", |check| &check.target)),
            right(
                check
                    .and_then(|check| check.value)
                    .map_or(String::new(), |value| format!("{value:.2}")),
            ),
            Cell::new(check.map_or("", |check| match check.outcome() {
                Outcome::Met => "met",
                Outcome::NotMet => "NOT met",
                Outcome::NotMeasured => "not measured",
            })),
        ]);
    };
    for check in &case.checks {
        line(check.beside.as_deref().unwrap_or(OURS), Some(check));
    }
    let unasked = case.entries.iter().filter(|entry| {
        entry.who != OURS
            && !case
                .checks
                .iter()
                .any(|check| check.beside.as_ref() == Some(&entry.who))
    });
    let unasked: Vec<_> = unasked.map(|entry| &*entry.who).collect();
    for who in &unasked {
        line(who, None);
    }
    if case.checks.is_empty() && unasked.is_empty() {
        line(OURS, None);
    }
}
