//! Rules that end by themselves, in the file of the agent's beside the policy files.

use std::fmt::Write;

use jiff::Timestamp;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use toml_edit::{Datetime, Item, Table, Value};

use super::{EditError, Position, RuleDraft, add_block, change::rewritten, move_rule, parsed, replace_rule};
use crate::policy::model::Term;

/// Where among the rules of the policy files one is tried that is in none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Anchor {
    /// Behind all.
    #[default]
    Last,
    /// Directly before the rule of this name.
    Before(String),
    /// Directly behind the rule of this name.
    After(String),
}

/// A rule that ends by itself, not yet in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedDraft<'a> {
    /// What it says.
    pub rule: &'a RuleDraft,
    /// Where it is tried.
    pub anchor: Anchor,
    /// How long it holds.
    pub term: Term,
}

impl TimedDraft<'_> {
    fn to_toml(&self) -> String {
        let rule = RuleDraft {
            before: match &self.anchor {
                Anchor::Before(name) => Some(name.clone()),
                Anchor::Last | Anchor::After(_) => None,
            },
            ..self.rule.clone()
        };
        let mut text = rule.to_toml("\n");
        // Writing to a string cannot fail.
        if let Anchor::After(name) = &self.anchor {
            let _ = write!(text, "\nafter = {}", Value::from(name));
        }
        let Term { since, until } = self.term;
        let _ = write!(text, "\nsince = {since}\nexpires = {until}");
        text
    }
}

/// The text with the rule added.
pub fn add_timed_rule(text: &str, draft: &TimedDraft<'_>, position: &Position) -> Result<String, EditError> {
    add_block(text, &draft.rule.name, &draft.to_toml(), position)
}

/// The text with another rule of the same name in the place of the one that it has. Where that one is tried and when it
/// ends is not changed.
pub fn replace_timed_rule(text: &str, rule: &RuleDraft) -> Result<String, EditError> {
    let before = match anchor_of(text, &rule.name) {
        Some(Anchor::Before(name)) => Some(name),
        _ => None,
    };
    let draft = RuleDraft {
        before,
        ..rule.clone()
    };
    replace_rule(text, &draft)
}

/// The text with the rule tried elsewhere: at another place of the file, beside another rule of the policy files.
pub fn move_timed_rule(
    text: &str,
    name: &str,
    position: &Position,
    anchor: &Anchor,
) -> Result<String, EditError> {
    let anchored = rewritten(text, name, |rule| say_anchor(rule, anchor))?;
    move_rule(&anchored, name, position)
}

/// The text with the rule holding for another time.
pub fn set_term(text: &str, name: &str, term: Term) -> Result<String, EditError> {
    rewritten(text, name, |rule| {
        for (key, at) in [("since", term.since), ("expires", term.until)] {
            rule.insert(key, Item::Value(moment(at)));
        }
    })
}

fn say_anchor(rule: &mut Table, anchor: &Anchor) {
    rule.remove("before");
    rule.remove("after");
    let (key, name) = match anchor {
        Anchor::Last => return,
        Anchor::Before(name) => ("before", name),
        Anchor::After(name) => ("after", name),
    };
    rule.insert(key, Item::Value(Value::from(name)));
}

/// Without quotes; as text, which the check of the file does not accept, where it cannot be.
fn moment(at: Timestamp) -> Value {
    let text = at.to_string();
    text.parse::<Datetime>()
        .map_or_else(|_| Value::from(text.as_str()), Value::from)
}

/// A rule of the file, whether it takes part or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedEntry {
    /// Its name.
    pub name: String,
    /// Where it is tried.
    pub anchor: Anchor,
    /// How long it holds.
    pub term: Term,
    /// Whether it takes part.
    pub enabled: bool,
}

impl TimedEntry {
    fn of(rule: &DeTable<'_>) -> Option<Self> {
        let text = |key: &str| match rule.get(key)?.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        };
        let moment = |key: &str| match rule.get(key)?.get_ref() {
            DeValue::Datetime(at) => at.to_string().parse::<Timestamp>().ok(),
            _ => None,
        };
        let before = text("before").map(Anchor::Before);
        Some(Self {
            name: text("name")?,
            anchor: before
                .or_else(|| text("after").map(Anchor::After))
                .unwrap_or_default(),
            term: Term {
                since: moment("since")?,
                until: moment("expires")?,
            },
            enabled: !matches!(
                rule.get("enabled").map(Spanned::get_ref),
                Some(DeValue::Boolean(false))
            ),
        })
    }
}

/// The rules of the file, in its order.
#[must_use]
pub fn timed_entries(text: &str) -> Vec<TimedEntry> {
    let Ok(root) = DeTable::parse(text) else {
        return Vec::new();
    };
    let Some(DeValue::Array(rules)) = root.get_ref().get("rule").map(Spanned::get_ref) else {
        return Vec::new();
    };
    let entries = rules.iter().filter_map(|rule| match rule.get_ref() {
        DeValue::Table(rule) => TimedEntry::of(rule),
        _ => None,
    });
    entries.collect()
}

/// Where the rule of this name is tried; `None` where the text has none.
#[must_use]
pub fn anchor_of(text: &str, name: &str) -> Option<Anchor> {
    let mut entries = timed_entries(text).into_iter();
    entries.find(|entry| entry.name == name).map(|entry| entry.anchor)
}

/// How many rules a text has; none where it cannot be read.
#[must_use]
pub fn rule_count(text: &str) -> usize {
    parsed(text).map_or(0, |blocks| blocks.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::edit::Verdict;

    #[test]
    fn what_ends_says_when_and_beside_which_rule_it_is_tried() {
        let rule = RuleDraft::new("debug", Verdict::Allow, "tcp/8080");
        let draft = |anchor| TimedDraft {
            rule: &rule,
            anchor,
            term: Term {
                since: "2030-01-01T12:00:00Z".parse().expect("a moment"),
                until: "2030-01-01T14:00:00.5Z".parse().expect("a moment"),
            },
        };
        for anchor in [
            Anchor::Last,
            Anchor::Before("ssh".into()),
            Anchor::After("a \"quote\"".into()),
        ] {
            let text = add_timed_rule("layer = \"timed\"\n", &draft(anchor.clone()), &Position::End);
            let text = text.expect("room for it");
            assert!(text.contains("since = 2030-01-01T12:00:00Z\nexpires = 2030-01-01T14:00:00.5Z"));
            assert_eq!(anchor_of(&text, "debug"), Some(anchor));
            assert_eq!((anchor_of(&text, "other"), rule_count(&text)), (None, 1));
            let again = add_timed_rule(&text, &draft(Anchor::Last), &Position::End);
            assert!(matches!(again, Err(EditError::NameTaken { .. })));
        }
    }

    const TWO: &str = "layer = \"timed\"\n\n[[rule]]\nname = \"a\"\nallow = \"tcp/1\"\nfrom = \"any\"\nbefore = \"ssh\"\n\
        since = 2030-01-01T12:00:00Z\nexpires = 2030-01-01T14:00:00Z\n\n[[rule]]\nname = \"b\"\nenabled = false\nallow = \"tcp/2\"\n\
        from = \"any\"\nsince = 2030-01-01T12:00:00Z\nexpires = 2030-01-01T15:00:00Z\n";

    fn entry(text: &str, name: &str) -> TimedEntry {
        let mut entries = timed_entries(text).into_iter();
        entries.find(|entry| entry.name == name).expect("it is there")
    }

    #[test]
    fn what_is_replaced_keeps_its_place_and_its_end() {
        let rule = RuleDraft::new("a", Verdict::Drop, "tcp/9");
        let text = replace_timed_rule(TWO, &rule).expect("it is there");
        assert!(
            text.contains("drop = \"tcp/9\"") && !text.contains("tcp/1\""),
            "{text}"
        );
        assert_eq!(timed_entries(&text), timed_entries(TWO));
        let unknown = RuleDraft::new("c", Verdict::Drop, "tcp/9");
        assert!(matches!(
            replace_timed_rule(TWO, &unknown),
            Err(EditError::NoSuchRule { .. })
        ));
    }

    #[test]
    fn what_is_moved_is_tried_elsewhere_and_ends_as_before() {
        let (position, anchor) = (Position::End, Anchor::After("web".into()));
        let text = move_timed_rule(TWO, "a", &position, &anchor).expect("it is there");
        let names: Vec<String> = timed_entries(&text).into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["b", "a"]);
        let expected = TimedEntry {
            anchor,
            ..entry(TWO, "a")
        };
        assert_eq!(entry(&text, "a"), expected);
        assert_eq!(entry(&text, "b"), entry(TWO, "b"));
    }

    #[test]
    fn another_time_changes_nothing_else() {
        let term = Term {
            since: "2030-01-01T13:00:00.25Z".parse().expect("a moment"),
            until: "2030-01-01T13:30:00.25Z".parse().expect("a moment"),
        };
        let text = set_term(TWO, "b", term).expect("it is there");
        let expected = TimedEntry {
            term,
            ..entry(TWO, "b")
        };
        assert_eq!(entry(&text, "b"), expected);
        assert_eq!(entry(&text, "a"), entry(TWO, "a"));
        assert!(!expected.enabled && entry(TWO, "a").enabled);
    }
}
