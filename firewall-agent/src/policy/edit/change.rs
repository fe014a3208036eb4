//! Changes of a rule that is in a file already: what it says, where it stands, and whether it takes part.

use toml::{Value, de::DeTable};
use toml_edit::{DocumentMut, Item, Table};

use super::{
    EditError, Position, RuleDraft, block,
    block::{Block, Newline},
    confirm, confirm_order, find, insert_at, parsed,
};

/// The text with another rule of the same name in the place of the one that it has: comments stay, and so does what
/// both say in the same way. Whether it is enabled, and whether it overrides another one, is not changed.
pub fn replace_rule(text: &str, rule: &RuleDraft) -> Result<String, EditError> {
    rewritten(text, &rule.name, |table| say(table, rule))
}

/// The text with the keys of a rule changed; what is not touched stays as it is written.
pub(super) fn rewritten(
    text: &str,
    name: &str,
    change: impl FnOnce(&mut Table),
) -> Result<String, EditError> {
    let blocks = parsed(text)?;
    let block = find(&blocks, name)?;
    let entangled = || EditError::Entangled {
        name: name.to_owned(),
    };
    let core = block.core.clone();
    let mut document: DocumentMut = text[core.clone()]
        .replace("\r\n", "\n")
        .parse()
        .map_err(|_| entangled())?;
    let tables = document.get_mut("rule").and_then(Item::as_array_of_tables_mut);
    let table = tables
        .filter(|tables| tables.len() == 1)
        .and_then(|tables| tables.get_mut(0))
        .ok_or_else(entangled)?;
    change(table);
    let newline = Newline::of(text);
    let said = document.to_string();
    let said = said.trim_end_matches('\n').replace('\n', newline.as_str());
    let edited = format!("{}{said}{}", &text[..core.start], &text[core.end..]);
    confirm(&edited, name, blocks.len())?;
    Ok(edited)
}

/// Has a table say what the draft says.
fn say(table: &mut Table, rule: &RuleDraft) {
    let keys = rule.keys();
    let mut added = false;
    for (key, value) in &keys {
        let Some(value) = value else {
            table.remove(key);
            continue;
        };
        match table.get_mut(key).and_then(Item::as_value_mut) {
            Some(present) if is_same(present, value) => {}
            Some(present) => {
                let decor = present.decor().clone();
                *present = value.clone();
                *present.decor_mut() = decor;
            }
            None => {
                table.insert(key, Item::Value(value.clone()));
                added = true;
            }
        }
    }
    if added {
        let place = |key: &str| {
            let place = keys.iter().position(|(known, _)| *known == key);
            place.unwrap_or(keys.len())
        };
        table.sort_values_by(|one, _, other, _| place(one.get()).cmp(&place(other.get())));
    }
}

/// Whether two values mean the same, however they are written.
fn is_same(one: &toml_edit::Value, other: &toml_edit::Value) -> bool {
    let plain = |value: &toml_edit::Value| {
        let mut table: toml::Table = format!("value = {value}").parse().ok()?;
        table.remove("value")
    };
    let (one, other): (Option<Value>, Option<Value>) = (plain(one), plain(other));
    one.is_some() && one == other
}

/// The text with the rule at another place; the comment lines directly above it go along.
pub fn move_rule(text: &str, name: &str, position: &Position) -> Result<String, EditError> {
    let blocks = parsed(text)?;
    let block = find(&blocks, name)?;
    if let Position::Before(other) | Position::After(other) = position {
        find(&blocks, other)?;
        if other == name {
            return Ok(text.to_owned());
        }
    }
    let body = &text[block.whole.clone()];
    let cut = block::with_separator(text, &block.whole);
    let without = format!("{}{}", &text[..cut.start], &text[cut.end..]);
    let left = parsed(&without)?;
    if left.len() + 1 != blocks.len() {
        return Err(EditError::Entangled {
            name: name.to_owned(),
        });
    }
    let edited = insert_at(&without, &left, position, body, Newline::of(text))?;
    confirm(&edited, name, blocks.len())?;
    confirm_order(&edited, name, position)?;
    Ok(edited)
}

/// The text with the rule taking part or not; it stays where it is.
pub fn enable_rule(text: &str, name: &str, enabled: bool) -> Result<String, EditError> {
    let blocks = parsed(text)?;
    let block = find(&blocks, name)?;
    let edited = match &block.enabled {
        Some(said) if said.value == enabled => return Ok(text.to_owned()),
        // A line of its own that has nothing else to say goes; it came by `rule disable`.
        Some(said) if enabled && said.is_alone => {
            format!("{}{}", &text[..said.line.start], &text[said.line.end..])
        }
        Some(said) => format!("{}{enabled}{}", &text[..said.span.start], &text[said.span.end..]),
        None if enabled => return Ok(text.to_owned()),
        None => {
            let newline = Newline::of(text).as_str();
            let (before, after) = text.split_at(block.name_line_end);
            format!("{before}{newline}enabled = false{after}")
        }
    };
    confirm(&edited, name, blocks.len())?;
    match is_enabled(&edited, name) {
        Some(now) if now == enabled => Ok(edited),
        _ => Err(EditError::Entangled {
            name: name.to_owned(),
        }),
    }
}

fn is_enabled(text: &str, name: &str) -> Option<bool> {
    let blocks: Vec<Block> = parsed(text).ok()?;
    let block = find(&blocks, name).ok()?;
    Some(block.enabled.as_ref().is_none_or(|said| said.value))
}

/// The rules of a file that are switched off where they stand: their names, and the numbers of their first lines, from
/// one.
#[must_use]
pub fn disabled_rules(text: &str) -> Vec<(String, usize)> {
    let (root, _) = DeTable::parse_recoverable(text);
    let blocks = block::blocks(text, root.get_ref());
    let disabled = blocks.into_iter().filter_map(|block| {
        block.enabled.filter(|said| !said.value)?;
        let line = text[..block.core.start].matches('\n').count() + 1;
        Some((block.name?.to_string(), line))
    });
    disabled.collect()
}

/// The rule as it is written in a file.
#[must_use]
pub fn rule_text<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let blocks = parsed(text).ok()?;
    let block = find(&blocks, name).ok()?;
    Some(&text[block.core.clone()])
}
