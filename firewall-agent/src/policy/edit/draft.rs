//! A rule that is not in a file yet.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use toml_edit::{Array, Datetime, Value};

/// The verdict of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Let it pass.
    Allow,
    /// Drop it silently.
    Drop,
    /// Refuse it with an answer.
    Reject,
}

impl Verdict {
    /// The key of the language.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Drop => "drop",
            Self::Reject => "reject",
        }
    }
}

/// A rule as an operator puts it together; every field is the key of the same name, and what it means is only found out
/// when the file that it was written to is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDraft {
    /// Its name.
    pub name: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// What it speaks of: the value of the verdict's key.
    pub what: Vec<String>,
    /// `from`, if not empty.
    #[serde(default)]
    pub from: Vec<String>,
    /// `to`, if not empty.
    #[serde(default)]
    pub to: Vec<String>,
    /// `among`, if not empty.
    #[serde(default)]
    pub among: Vec<String>,
    /// `multicast`, if not empty.
    #[serde(default)]
    pub multicast: Vec<String>,
    /// `forward = true`.
    #[serde(default)]
    pub forward: bool,
    /// `interface`, if not empty.
    #[serde(default)]
    pub interface: Vec<String>,
    /// `vlan`, if not empty: numbers and ranges.
    #[serde(default)]
    pub vlan: Vec<String>,
    /// `from_port`, if not empty: numbers and ranges.
    #[serde(default)]
    pub from_port: Vec<String>,
    /// The rule of an earlier layer before which it is tried.
    #[serde(default)]
    pub before: Option<String>,
    /// `log`, such as `10/s`.
    #[serde(default)]
    pub log: Option<String>,
    /// `owner`.
    #[serde(default)]
    pub owner: Option<String>,
    /// `reason`.
    #[serde(default)]
    pub reason: Option<String>,
    /// `review`, as `2030-12-31`.
    #[serde(default)]
    pub review: Option<String>,
}

impl RuleDraft {
    /// A rule with a name, a verdict and what it speaks of, for nobody yet.
    #[must_use]
    pub fn new(name: impl Into<String>, verdict: Verdict, what: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            verdict,
            what: vec![what.into()],
            from: Vec::new(),
            to: Vec::new(),
            among: Vec::new(),
            multicast: Vec::new(),
            forward: false,
            interface: Vec::new(),
            vlan: Vec::new(),
            from_port: Vec::new(),
            before: None,
            log: None,
            owner: None,
            reason: None,
            review: None,
        }
    }

    /// The `[[rule]]` entry, without a final line end.
    #[must_use]
    pub fn to_toml(&self, newline: &str) -> String {
        let mut block = "[[rule]]".to_owned();
        for (key, value) in self.keys() {
            if let Some(value) = value {
                write!(block, "{newline}{key} = {}", value.to_string().trim())
                    .expect("a String takes everything");
            }
        }
        block
    }

    /// Every key that a draft can have, in the order in which they are written, with what this one says of it.
    pub(super) fn keys(&self) -> Vec<(&'static str, Option<Value>)> {
        let texts = |items: &[String]| listed(items.iter().map(Value::from).collect());
        let numbers = |items: &[String]| listed(items.iter().map(|item| number(item)).collect());
        let text = |item: &Option<String>| item.as_ref().map(Value::from);
        let verdict = |verdict: Verdict| {
            let what = || texts(&self.what).unwrap_or_else(|| Array::new().into());
            (verdict.as_str(), (verdict == self.verdict).then(what))
        };
        vec![
            ("name", Some(Value::from(&self.name))),
            verdict(Verdict::Allow),
            verdict(Verdict::Drop),
            verdict(Verdict::Reject),
            ("from", texts(&self.from)),
            ("to", texts(&self.to)),
            ("among", texts(&self.among)),
            ("multicast", texts(&self.multicast)),
            ("forward", self.forward.then(|| true.into())),
            ("interface", texts(&self.interface)),
            ("vlan", numbers(&self.vlan)),
            ("from_port", numbers(&self.from_port)),
            ("before", text(&self.before)),
            ("log", text(&self.log)),
            ("owner", text(&self.owner)),
            ("reason", text(&self.reason)),
            ("review", self.review.as_deref().map(date)),
        ]
    }
}

/// Nothing, the item itself, or a list.
fn listed(mut items: Vec<Value>) -> Option<Value> {
    match items.len() {
        0 => None,
        1 => items.pop(),
        _ => Some(Value::Array(items.into_iter().collect())),
    }
}

/// A plain number without quotes, anything else as text.
fn number(item: &str) -> Value {
    item.parse::<u16>()
        .map_or_else(|_| Value::from(item), |number| i64::from(number).into())
}

/// A date without quotes, anything else as text, which the check of the file will not accept.
fn date(item: &str) -> Value {
    item.parse::<Datetime>()
        .map_or_else(|_| Value::from(item), Value::from)
}
