//! Reads a TOML table key by key and notes unknown keys, missing keys and wrong types.

use std::sync::Arc;

use jiff::Timestamp;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
    value::{Date, Datetime},
};

use super::{
    super::suggest::nearest,
    findings::{Findings, Located},
};
use crate::diagnostic::{Code, Diagnostic, Place};

/// Which keys a table may have.
#[derive(Debug)]
pub(super) struct Keys {
    /// What the table is, with its article: "a rule".
    pub(super) what: &'static str,
    /// The keys of the language.
    pub(super) known: &'static [&'static str],
    /// Keys that will come with a later version, each with what it will do.
    pub(super) reserved: &'static [(&'static str, &'static str)],
    /// Keys that operators may try, each with what to write instead.
    pub(super) instead: &'static [(&'static str, &'static str)],
}

/// A table under inspection.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    entries: &'a DeTable<'a>,
    /// Its header, or the whole of an inline table.
    pub(super) place: Place,
    has_strays: bool,
}

impl<'a> Table<'a> {
    /// Opens a table and notes every key that it must not have.
    pub(super) fn open(entries: &'a DeTable<'a>, place: Place, keys: &Keys, findings: &mut Findings) -> Self {
        let mut has_strays = false;
        for (key, value) in entries {
            let name = key.get_ref().as_ref();
            if !keys.known.contains(&name) {
                has_strays = true;
                let place = findings.place(key.span());
                // Under a faulty header the parser invents a table, whose keys nobody has written there.
                if !findings.is_faulty(&findings.place(value.span())) {
                    findings.push(stray_key(name, &place, keys));
                }
            }
        }
        Self {
            entries,
            place,
            has_strays,
        }
    }

    /// Opens a table whose keys are names that the operator chooses.
    pub(super) const fn open_named(entries: &'a DeTable<'a>, place: Place) -> Self {
        Self {
            entries,
            place,
            has_strays: false,
        }
    }

    /// All entries in file order.
    pub(super) fn entries(&self, findings: &Findings) -> Vec<(Located<&'a str>, &'a Spanned<DeValue<'a>>)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| {
                (
                    Located::new(key.get_ref().as_ref(), findings.place(key.span())),
                    value,
                )
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.place.span.start);
        entries
    }

    /// The place of a key, if it is there.
    pub(super) fn key_place(&self, key: &str, findings: &Findings) -> Option<Place> {
        self.entries
            .get_key_value(key)
            .map(|(key, _)| findings.place(key.span()))
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.entries.get(key)
    }

    /// Where the last of its values ends.
    pub(super) fn end(&self) -> usize {
        self.entries
            .values()
            .map(|value| value.span().end)
            .max()
            .unwrap_or(0)
            .max(self.place.span.end)
    }

    pub(super) fn string(&self, key: &str, findings: &mut Findings) -> Option<Located<Arc<str>>> {
        string(self.value(key)?, findings)
    }

    /// Like [`Self::string`], and notes it if the key is missing.
    pub(super) fn required_string(
        &self,
        key: &str,
        what: &str,
        findings: &mut Findings,
    ) -> Option<Located<Arc<str>>> {
        if self.value(key).is_none() {
            let message = format!("{what} needs the key `{key}`");
            self.missing(
                Diagnostic::new(Code::MissingKey, &self.place, message).label(format!("no `{key}` here")),
                findings,
            );
        }
        self.string(key, findings)
    }

    /// Notes that something is missing, unless an unknown key may be what was meant for it.
    pub(super) fn missing(&self, diagnostic: Diagnostic, findings: &mut Findings) {
        if !self.has_strays {
            findings.push(diagnostic);
        }
    }

    pub(super) fn boolean(&self, key: &str, findings: &mut Findings) -> Option<Located<bool>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(Located::new(*boolean, findings.place(value.span()))),
            _ => wrong_type("`true` or `false`", value, findings),
        }
    }

    pub(super) fn date(&self, key: &str, findings: &mut Findings) -> Option<Located<Date>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Datetime(Datetime {
                date: Some(date),
                time: None,
                ..
            }) => Some(Located::new(*date, findings.place(value.span()))),
            _ => wrong_type("a date such as 2030-12-31 (without quotes)", value, findings),
        }
    }

    pub(super) fn moment(&self, key: &str, findings: &mut Findings) -> Option<Located<Timestamp>> {
        let value = self.value(key)?;
        let moment = match value.get_ref() {
            DeValue::Datetime(moment) => moment.to_string().parse().ok(),
            _ => None,
        };
        match moment {
            Some(moment) => Some(Located::new(moment, findings.place(value.span()))),
            None => wrong_type(
                "a moment such as 2030-12-31T12:00:00Z (without quotes)",
                value,
                findings,
            ),
        }
    }

    pub(super) fn table(&self, key: &str, keys: &Keys, findings: &mut Findings) -> Option<Self> {
        table(self.value(key)?, keys, findings)
    }

    /// The elements of an array of tables, `[[key]]`.
    pub(super) fn tables(&self, key: &str, keys: &Keys, findings: &mut Findings) -> Vec<Self> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        // Of `[[key]]` the array has the span of its first header; a list in brackets begins before its first element.
        let elements = match value.get_ref() {
            DeValue::Array(elements)
                if elements.first().is_some_and(|first| first.span() == value.span()) =>
            {
                elements
            }
            _ => {
                let message = format!("`{key}` must be written as `[[{key}]]`");
                findings.push(
                    Diagnostic::new(Code::WrongType, &findings.place(value.span()), message)
                        .hint("double brackets begin one entry of a list"),
                );
                return Vec::new();
            }
        };
        elements
            .iter()
            .filter_map(|element| table(element, keys, findings))
            .collect()
    }

    /// The elements of a list, or a single value that stands for a list of one.
    pub(super) fn items(&self, key: &str, findings: &mut Findings) -> Option<Vec<&'a Spanned<DeValue<'a>>>> {
        Some(items(key, self.value(key)?, findings))
    }

    /// The strings of a list, or a single string that stands for a list of one.
    pub(super) fn strings(&self, key: &str, findings: &mut Findings) -> Option<Vec<Located<Arc<str>>>> {
        Some(strings(key, self.value(key)?, findings))
    }
}

fn stray_key(name: &str, place: &Place, keys: &Keys) -> Diagnostic {
    if let Some((_, purpose)) = keys.reserved.iter().find(|(key, _)| *key == name) {
        return Diagnostic::new(
            Code::NotYetAvailable,
            place,
            format!("`{name}` is not yet available"),
        )
        .label(format!("reserved for {purpose}"))
        .hint("leave it out; a later version will accept it");
    }
    let unknown = Diagnostic::new(
        Code::UnknownKey,
        place,
        format!("`{name}` is not a key of {}", keys.what),
    )
    .label("unknown key");
    if let Some((_, better)) = keys.instead.iter().find(|(key, _)| *key == name) {
        return unknown.hint(*better);
    }
    match nearest(name, keys.known.iter().copied()) {
        Some(known) => unknown.hint(format!("did you mean `{known}`?")),
        None => unknown.hint(format!("{} has the keys {}", keys.what, listed(keys.known))),
    }
}

fn listed(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) fn table<'a>(
    value: &'a Spanned<DeValue<'a>>,
    keys: &Keys,
    findings: &mut Findings,
) -> Option<Table<'a>> {
    match value.get_ref() {
        DeValue::Table(entries) => Some(Table::open(entries, findings.place(value.span()), keys, findings)),
        _ => wrong_type("a table", value, findings),
    }
}

/// A table whose keys are names that the operator chooses.
pub(super) fn named_table<'a>(value: &'a Spanned<DeValue<'a>>, findings: &mut Findings) -> Option<Table<'a>> {
    match value.get_ref() {
        DeValue::Table(entries) => Some(Table::open_named(entries, findings.place(value.span()))),
        _ => wrong_type("a table", value, findings),
    }
}

pub(super) fn string(value: &Spanned<DeValue<'_>>, findings: &mut Findings) -> Option<Located<Arc<str>>> {
    match value.get_ref() {
        DeValue::String(text) => Some(Located::new(text.as_ref().into(), findings.place(value.span()))),
        _ => wrong_type("a string in quotes", value, findings),
    }
}

pub(super) fn items<'a>(
    key: &str,
    value: &'a Spanned<DeValue<'a>>,
    findings: &mut Findings,
) -> Vec<&'a Spanned<DeValue<'a>>> {
    let DeValue::Array(elements) = value.get_ref() else {
        return vec![value];
    };
    if elements.is_empty() {
        let place = findings.place(value.span());
        findings.push(Diagnostic::new(
            Code::BadValue,
            &place,
            format!("the list `{key}` is empty"),
        ));
    }
    elements.iter().collect()
}

pub(super) fn strings<'a>(
    key: &str,
    value: &'a Spanned<DeValue<'a>>,
    findings: &mut Findings,
) -> Vec<Located<Arc<str>>> {
    items(key, value, findings)
        .into_iter()
        .filter_map(|item| string(item, findings))
        .collect()
}

/// An integer of any radix that TOML knows.
pub(super) fn integer(value: &Spanned<DeValue<'_>>, findings: &mut Findings) -> Option<Located<i64>> {
    let place = findings.place(value.span());
    let DeValue::Integer(digits) = value.get_ref() else {
        return wrong_type("a whole number", value, findings);
    };
    if let Ok(number) = i64::from_str_radix(digits.as_str(), digits.radix()) {
        return Some(Located::new(number, place));
    }
    findings.push(Diagnostic::new(Code::BadValue, &place, "the number is too large"));
    None
}

pub(super) fn wrong_type<T>(
    expected: &str,
    value: &Spanned<DeValue<'_>>,
    findings: &mut Findings,
) -> Option<T> {
    let place = findings.place(value.span());
    let found = type_name(value.get_ref());
    findings.push(
        Diagnostic::new(
            Code::WrongType,
            &place,
            format!("expected {expected}, found {found}"),
        )
        .label(format!("this is {found}")),
    );
    None
}

const fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
