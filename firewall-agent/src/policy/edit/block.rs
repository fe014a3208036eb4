//! Where the rules of a file are.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Name;

/// A rule's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Its name, if it has one.
    pub(super) name: Name,
    /// From the start of its first line, comments directly above included, to the end of its last line without the
    /// line end.
    pub(super) whole: Range<usize>,
    /// From the start of its header's line to the end of its last value's line, without the line end.
    pub(super) core: Range<usize>,
    /// The end of the line of its name, without the line end; of its header's, if it has none.
    pub(super) name_line_end: usize,
    /// What it says of being enabled, if it does.
    pub(super) enabled: Option<Enabled>,
}

/// `enabled = …` in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Enabled {
    pub(super) value: bool,
    /// Of the value.
    pub(super) span: Range<usize>,
    /// Of its line, the line end included.
    pub(super) line: Range<usize>,
    /// Whether nothing else stands in that line.
    pub(super) is_alone: bool,
}

/// How lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newline {
    Unix,
    Windows,
}

impl Newline {
    /// As the first line of the text ends.
    pub(super) fn of(text: &str) -> Self {
        match text.find('\n') {
            Some(at) if text[..at].ends_with('\r') => Self::Windows,
            _ => Self::Unix,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unix => "\n",
            Self::Windows => "\r\n",
        }
    }
}

/// All `[[rule]]` entries in file order.
pub(super) fn blocks(text: &str, root: &DeTable<'_>) -> Vec<Block> {
    let Some(DeValue::Array(elements)) = root.get("rule").map(Spanned::get_ref) else {
        return Vec::new();
    };
    let lines = Lines::of(text);
    elements
        .iter()
        .filter_map(|element| block(&lines, element))
        .collect()
}

fn block(lines: &Lines<'_>, element: &Spanned<DeValue<'_>>) -> Option<Block> {
    let DeValue::Table(table) = element.get_ref() else {
        return None;
    };
    let header = element.span();
    let values_end = table.values().map(|value| value.span().end).max().unwrap_or(0);
    let name = match table.get("name").map(Spanned::get_ref) {
        Some(DeValue::String(name)) => Some(name.as_ref().into()),
        _ => None,
    };
    let first = lines.comments_above(lines.index(header.start));
    let core_last = lines.index(header.end.max(values_end));
    let last = lines.comments_below(core_last);
    let name_end = table.get("name").map_or(header.end, |name| name.span().end);
    Some(Block {
        name,
        whole: lines.start(first)..lines.end(last),
        core: lines.start(lines.index(header.start))..lines.end(core_last),
        name_line_end: lines.end(lines.index(name_end)),
        enabled: enabled(lines, table),
    })
}

fn enabled(lines: &Lines<'_>, table: &DeTable<'_>) -> Option<Enabled> {
    let said = table.get("enabled")?;
    let DeValue::Boolean(value) = said.get_ref() else {
        return None;
    };
    let line = lines.index(said.span().start);
    let words = lines.text(line).split_whitespace().collect::<String>();
    Some(Enabled {
        value: *value,
        span: said.span(),
        line: lines.start(line)..lines.next_start(line),
        is_alone: words == format!("enabled={value}"),
    })
}

/// The range with one blank line beside it, so that a rule that goes leaves no gap behind, and none where it was
/// inserted between lines without one.
pub(super) fn with_separator(text: &str, whole: &Range<usize>) -> Range<usize> {
    let lines = Lines::of(text);
    let (first, last) = (lines.index(whole.start), lines.index(whole.end));
    let is_blank = |line: usize| lines.text(line).trim().is_empty();
    let end = lines.next_start(last);
    if first > 0 && is_blank(first - 1) {
        let start = lines.start(first - 1);
        // The last line of a text without a final line end takes the one before it along.
        return if whole.end == text.len() && start > 0 {
            lines.end(first - 2)..end
        } else {
            start..end
        };
    }
    if last + 1 < lines.count() && is_blank(last + 1) {
        return lines.start(first)..lines.next_start(last + 1);
    }
    if whole.end == text.len() && first > 0 {
        return lines.end(first - 1)..end;
    }
    lines.start(first)..end
}

/// A text by lines.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let newlines = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(newlines).collect(),
        }
    }

    /// Lines, the empty one behind a final line end included.
    fn count(&self) -> usize {
        self.starts.len()
    }

    fn index(&self, offset: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    fn start(&self, line: usize) -> usize {
        self.starts[line]
    }

    fn next_start(&self, line: usize) -> usize {
        self.starts.get(line + 1).copied().unwrap_or(self.text.len())
    }

    /// Where the line ends, without its line end.
    fn end(&self, line: usize) -> usize {
        self.start(line) + self.text(line).len()
    }

    fn text(&self, line: usize) -> &'a str {
        let whole = &self.text[self.start(line)..self.next_start(line)];
        let whole = whole.strip_suffix('\n').unwrap_or(whole);
        whole.strip_suffix('\r').unwrap_or(whole)
    }

    fn is_comment(&self, line: usize) -> bool {
        self.text(line).trim_start().starts_with('#')
    }

    /// The first of the comment lines directly above this line, or the line itself.
    fn comments_above(&self, line: usize) -> usize {
        (0..line)
            .rev()
            .take_while(|above| self.is_comment(*above))
            .last()
            .unwrap_or(line)
    }

    /// The last of the comment lines directly below this line, unless they lead to something else.
    fn comments_below(&self, line: usize) -> usize {
        let below = (line + 1..self.count())
            .take_while(|below| self.is_comment(*below))
            .last()
            .unwrap_or(line);
        let leads_on = below + 1 < self.count() && !self.text(below + 1).trim().is_empty();
        if leads_on { line } else { below }
    }
}
