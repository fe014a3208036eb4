//! The texts that diagnostics point into.

use std::{ops::Range, sync::Arc};

/// Which file of a [`SourceSet`] is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(usize);

/// A byte range in one file of a [`SourceSet`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file.
    pub file: FileId,
    /// Byte range in its text.
    pub span: Range<usize>,
}

impl Place {
    /// The range `span` of `file`.
    #[must_use]
    pub const fn new(file: FileId, span: Range<usize>) -> Self {
        Self { file, span }
    }
}

/// A line and a column, both counted from one; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from one.
    pub line: u32,
    /// Column in characters, from one.
    pub column: u32,
}

/// One text with the name that the operator knows it by.
#[derive(Debug, Clone)]
pub struct SourceFile {
    name: Arc<str>,
    text: Arc<str>,
    line_starts: Vec<usize>,
    fault: Option<Arc<str>>,
    is_list: bool,
}

impl SourceFile {
    /// A file called `name` that holds `text`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let after_newlines = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        Self {
            name: name.into(),
            text,
            line_starts,
            fault: None,
            is_list: false,
        }
    }

    /// A file of addresses that a policy names; it is none itself.
    #[must_use]
    pub fn list(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self {
            is_list: true,
            ..Self::new(name, text)
        }
    }

    /// A list that could not be read, and why.
    #[must_use]
    pub fn unreadable_list(name: impl Into<Arc<str>>, fault: impl Into<Arc<str>>) -> Self {
        Self {
            is_list: true,
            ..Self::unreadable(name, fault)
        }
    }

    /// Whether it is a file of addresses.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        self.is_list
    }

    /// A file that could not be read, and why.
    #[must_use]
    pub fn unreadable(name: impl Into<Arc<str>>, fault: impl Into<Arc<str>>) -> Self {
        Self {
            fault: Some(fault.into()),
            ..Self::new(name, "")
        }
    }

    /// Why it could not be read, if it could not.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The name as the operator gave it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The whole text, not copied.
    #[must_use]
    pub fn shared_text(&self) -> Arc<str> {
        self.text.clone()
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Index, from zero, of the line that holds the byte at `offset`.
    #[must_use]
    pub fn line_index(&self, offset: usize) -> usize {
        self.line_starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    /// Line and column of the byte at `offset`.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line_index(offset);
        let column = self.text[self.line_starts[line]..offset].chars().count();
        Position {
            line: number_from(line),
            column: number_from(column),
        }
    }

    /// Byte range of the lines `first..=last` (indices from zero), without the last line's end.
    #[must_use]
    pub fn lines(&self, first: usize, last: usize) -> Range<usize> {
        let start = self.line_starts[first];
        let end = self
            .line_starts
            .get(last + 1)
            .map_or(self.text.len(), |next| next - 1);
        start..end
    }

    pub(super) fn line_count(&self) -> usize {
        self.line_starts.len()
    }
}

/// One-based number of a zero-based index; a text of more than four billion lines is not worth a wider type.
fn number_from(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX - 1) + 1
}

/// The texts of one check, in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub struct SourceSet {
    files: Vec<SourceFile>,
}

impl SourceSet {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file and says how to refer to it.
    pub fn add(&mut self, file: SourceFile) -> FileId {
        self.files.push(file);
        FileId(self.files.len() - 1)
    }

    /// The same files with another text for one of them.
    #[must_use]
    pub fn replaced(&self, id: FileId, text: impl Into<Arc<str>>) -> Self {
        let mut files = self.files.clone();
        files[id.0] = SourceFile {
            is_list: files[id.0].is_list,
            ..SourceFile::new(files[id.0].name.clone(), text)
        };
        Self { files }
    }

    /// The file of `id`. An identifier is only ever made by [`Self::add`] of the same set.
    #[must_use]
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0]
    }

    /// The policy files with their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.all().filter(|(_, file)| !file.is_list)
    }

    /// The files of addresses that the policy files name.
    pub fn lists(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.all().filter(|(_, file)| file.is_list)
    }

    /// All files with their identifiers.
    pub fn all(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files
            .iter()
            .enumerate()
            .map(|(index, file)| (FileId(index), file))
    }

    /// Where a place begins.
    #[must_use]
    pub fn position(&self, place: &Place) -> Position {
        self.file(place.file).position(place.span.start)
    }
}

impl FromIterator<SourceFile> for SourceSet {
    fn from_iter<I: IntoIterator<Item = SourceFile>>(files: I) -> Self {
        Self {
            files: files.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let file = SourceFile::new("a.toml", "ä = 1\nb = 2\n");
        assert_eq!(file.position(0), Position { line: 1, column: 1 });
        assert_eq!(file.position(3), Position { line: 1, column: 3 });
        assert_eq!(file.position(7), Position { line: 2, column: 1 });
    }

    #[test]
    fn an_offset_past_the_end_is_the_end() {
        let file = SourceFile::new("a.toml", "a");
        assert_eq!(file.position(99), Position { line: 1, column: 2 });
    }

    #[test]
    fn an_offset_inside_a_character_is_its_start() {
        let file = SourceFile::new("a.toml", "ä");
        assert_eq!(file.position(1), Position { line: 1, column: 1 });
    }
}
