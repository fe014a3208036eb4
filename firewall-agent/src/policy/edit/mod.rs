//! Writes single rules into policy files, changes, moves and deletes them, with every other byte kept.
//!
//! The text is spliced at places that the TOML parser gives, instead of being printed anew: comments, order, quoting and
//! line ends of everything else cannot change. A rule goes with the comment lines that directly precede it.

mod block;
mod change;
mod draft;
mod timed;

use std::sync::Arc;

use toml::de::DeTable;

use self::block::{Block, Newline, blocks};
pub use self::{
    change::{disabled_rules, enable_rule, move_rule, replace_rule, rule_text},
    draft::{RuleDraft, Verdict},
    timed::{
        Anchor, TimedDraft, TimedEntry, add_timed_rule, anchor_of, move_timed_rule, replace_timed_rule,
        rule_count, set_term, timed_entries,
    },
};
use super::{
    suggest::nearest,
    syntax::{self, Layer},
};
use crate::diagnostic::{FileId, SourceSet};

/// Where a new rule goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Position {
    /// Behind the last rule of the file.
    #[default]
    End,
    /// Before the first rule of the file.
    First,
    /// Directly before the rule of this name.
    Before(String),
    /// Directly behind the rule of this name.
    After(String),
}

/// Why a file was not edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is not valid TOML.
    #[error("the file is not valid TOML: {fault}")]
    Unreadable {
        /// What the parser says.
        fault: String,
    },
    /// The file already has a rule of this name.
    #[error("the file already has a rule `{name}`")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The file has no rule of this name.
    #[error("the file has no rule `{name}`{}", did_you_mean(.nearest.as_ref()))]
    NoSuchRule {
        /// The name.
        name: String,
        /// A name that may have been meant.
        nearest: Option<String>,
    },
    /// The rule is written in a form that cannot be taken out by itself.
    #[error("the rule `{name}` shares a line with something else; edit the file by hand")]
    Entangled {
        /// The name.
        name: String,
    },
}

fn did_you_mean(name: Option<&String>) -> String {
    name.map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// The text with the rule added.
pub fn add_rule(text: &str, rule: &RuleDraft, position: &Position) -> Result<String, EditError> {
    let body = rule.to_toml(Newline::of(text).as_str());
    add_block(text, &rule.name, &body, position)
}

fn add_block(text: &str, name: &str, body: &str, position: &Position) -> Result<String, EditError> {
    let blocks = parsed(text)?;
    if blocks.iter().any(|block| block.name.as_deref() == Some(name)) {
        return Err(EditError::NameTaken {
            name: name.to_owned(),
        });
    }
    let edited = insert_at(text, &blocks, position, body, Newline::of(text))?;
    confirm(&edited, name, blocks.len() + 1)?;
    Ok(edited)
}

/// The text without the rule.
pub fn delete_rule(text: &str, name: &str) -> Result<String, EditError> {
    let blocks = parsed(text)?;
    let block = find(&blocks, name)?;
    let cut = block::with_separator(text, &block.whole);
    let edited = format!("{}{}", &text[..cut.start], &text[cut.end..]);
    match parsed(&edited) {
        Ok(left) if left.len() + 1 == blocks.len() => Ok(edited),
        _ => Err(EditError::Entangled {
            name: name.to_owned(),
        }),
    }
}

/// The file of the set that has the rule of this name, given as in the file or as a resolved rule is called.
#[must_use]
pub fn file_with_rule(sources: &SourceSet, name: &str) -> Option<FileId> {
    let name = sentence_name(name);
    let has_rule = |text: &str| {
        parsed(text).is_ok_and(|blocks| blocks.iter().any(|block| block.name.as_deref() == Some(name)))
    };
    // A later layer's rule of the same name is the one in force.
    sources
        .iter()
        .filter(|(_, source)| has_rule(source.text()))
        .max_by_key(|(_, source)| rank(syntax::layer_of(source.text()).as_ref()))
        .map(|(file, _)| file)
}

/// The names of all rules in the files, as far as these can be read.
pub fn rule_names(sources: &SourceSet) -> Vec<Arc<str>> {
    let blocks = sources
        .iter()
        .filter_map(|(_, source)| parsed(source.text()).ok());
    blocks.flatten().filter_map(|block| block.name).collect()
}

const fn rank(layer: Option<&Layer>) -> u8 {
    match layer {
        Some(Layer::Timed) => 4,
        Some(Layer::Host(_)) => 3,
        Some(Layer::Role(_)) => 2,
        Some(Layer::Base) => 1,
        Some(Layer::Inventory) | None => 0,
    }
}

/// The file of the set that is this layer.
#[must_use]
pub fn file_of_layer(sources: &SourceSet, layer: &Layer) -> Option<FileId> {
    sources
        .iter()
        .find(|(_, source)| syntax::layer_of(source.text()).as_ref() == Some(layer))
        .map(|(file, _)| file)
}

/// The name in the file of a rule that is called `name/in` or `name/out` where one sentence yields two rules.
#[must_use]
pub fn sentence_name(rule: &str) -> &str {
    rule.split_once('/').map_or(rule, |(sentence, _)| sentence)
}

fn parsed(text: &str) -> Result<Vec<Block>, EditError> {
    match DeTable::parse(text) {
        Ok(root) => Ok(blocks(text, root.get_ref())),
        Err(fault) => Err(EditError::Unreadable {
            fault: fault.message().to_owned(),
        }),
    }
}

fn find<'a>(blocks: &'a [Block], name: &str) -> Result<&'a Block, EditError> {
    blocks
        .iter()
        .find(|block| block.name.as_deref() == Some(name))
        .ok_or_else(|| {
            let known = blocks.iter().filter_map(|block| block.name.as_deref());
            EditError::NoSuchRule {
                name: name.to_owned(),
                nearest: nearest(name, known).map(str::to_owned),
            }
        })
}

fn insert_at(
    text: &str,
    blocks: &[Block],
    position: &Position,
    body: &str,
    newline: Newline,
) -> Result<String, EditError> {
    Ok(match (position, blocks) {
        (Position::Before(name), _) => insert_before(text, find(blocks, name)?.whole.start, body, newline),
        (Position::After(name), _) => insert_behind(text, find(blocks, name)?.whole.end, body, newline),
        (Position::First, [first, ..]) => insert_before(text, first.whole.start, body, newline),
        (Position::End, [.., last]) => insert_behind(text, last.whole.end, body, newline),
        (Position::First | Position::End, []) => insert_behind(text, text.len(), body, newline),
    })
}

fn insert_before(text: &str, at: usize, body: &str, newline: Newline) -> String {
    let line_end = newline.as_str();
    format!("{}{body}{line_end}{line_end}{}", &text[..at], &text[at..])
}

/// `at` is the end of a line without its line end, or the end of the text.
fn insert_behind(text: &str, at: usize, body: &str, newline: Newline) -> String {
    let line_end = newline.as_str();
    let (before, after) = text.split_at(at);
    if before.is_empty() {
        return format!("{body}{line_end}{after}");
    }
    match before.strip_suffix(line_end) {
        // The end of a text that ends with a line end: so shall the new one.
        Some(before) => format!("{before}{line_end}{line_end}{body}{line_end}{after}"),
        None => format!("{before}{line_end}{line_end}{body}{after}"),
    }
}

/// That the new text says what it was made to say.
fn confirm(edited: &str, name: &str, rules: usize) -> Result<(), EditError> {
    let blocks = parsed(edited)?;
    if blocks.len() == rules {
        return find(&blocks, name).map(|_| ());
    }
    Err(EditError::Entangled {
        name: name.to_owned(),
    })
}

/// That the rule stands where it was to.
fn confirm_order(edited: &str, name: &str, position: &Position) -> Result<(), EditError> {
    let blocks = parsed(edited)?;
    let place = |name: &str| {
        blocks
            .iter()
            .position(|block| block.name.as_deref() == Some(name))
    };
    let (own, last) = (place(name), blocks.len().checked_sub(1));
    let is_there = match position {
        Position::First => own == Some(0),
        Position::End => own == last,
        Position::Before(other) => own.map(|own| own + 1) == place(other),
        Position::After(other) => own == place(other).map(|other| other + 1),
    };
    if is_there {
        return Ok(());
    }
    Err(EditError::Entangled {
        name: name.to_owned(),
    })
}

/// The name of a rule in a file, shared where it is kept.
type Name = Option<Arc<str>>;

#[cfg(test)]
mod tests;
