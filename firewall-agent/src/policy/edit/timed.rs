//! Rules that end by themselves, in the file of the agent's beside the policy files.

use std::fmt::Write;

use toml::de::{DeTable, DeValue};
use toml_edit::Value;

use super::{EditError, Position, RuleDraft, add_block, parsed};
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

/// Where the rule of this name is tried; `None` where the text has none.
#[must_use]
pub fn anchor_of(text: &str, name: &str) -> Option<Anchor> {
    let root = DeTable::parse(text).ok()?;
    let DeValue::Array(rules) = root.get_ref().get("rule")?.get_ref() else {
        return None;
    };
    let text_of = |rule: &DeTable<'_>, key: &str| match rule.get(key)?.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    };
    rules.iter().find_map(|rule| match rule.get_ref() {
        DeValue::Table(rule) if text_of(rule, "name").as_deref() == Some(name) => {
            let before = text_of(rule, "before").map(Anchor::Before);
            Some(
                before
                    .or_else(|| text_of(rule, "after").map(Anchor::After))
                    .unwrap_or_default(),
            )
        }
        _ => None,
    })
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
}
