//! The files of what is in force, as far as they are kept in memory: a list may be large, and of it only so much is
//! kept as it takes to know it again, and to show it.

use std::{path::PathBuf, sync::Arc};

use sha2::{Digest, Sha256};

use crate::state::PolicyFile;

/// Lines of a list that are kept.
const LIST_LINES: usize = 1000;

/// A file that what is in force was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownFile {
    /// Where it was read from.
    pub(crate) path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Policy(Arc<str>),
    List(ListText),
}

/// What is kept of a list's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListText {
    /// Of the whole text.
    sha256: [u8; 32],
    /// Its first lines.
    pub(crate) lines: Vec<String>,
    /// How many lines it has beside these.
    pub(crate) lines_left_out: usize,
}

impl KnownFile {
    /// Whether this is the file, word for word.
    pub(crate) fn is(&self, file: &PolicyFile) -> bool {
        self.path == file.path
            && match &self.content {
                Content::Policy(text) => !file.is_list && *text == file.text,
                Content::List(list) => file.is_list && list.sha256 == sha256(&file.text),
            }
    }

    /// The text of a policy file.
    pub(crate) fn policy_text(&self) -> Option<&str> {
        match &self.content {
            Content::Policy(text) => Some(text),
            Content::List(_) => None,
        }
    }

    /// What is known of a list.
    pub(crate) fn list_text(&self) -> Option<&ListText> {
        match &self.content {
            Content::Policy(_) => None,
            Content::List(list) => Some(list),
        }
    }
}

impl From<&PolicyFile> for KnownFile {
    fn from(file: &PolicyFile) -> Self {
        Self {
            path: file.path.clone(),
            content: if file.is_list {
                Content::List(ListText::of(&file.text))
            } else {
                Content::Policy(file.text.clone())
            },
        }
    }
}

impl ListText {
    fn of(text: &str) -> Self {
        let mut lines = text.lines();
        Self {
            sha256: sha256(text),
            lines: lines.by_ref().take(LIST_LINES).map(str::to_owned).collect(),
            lines_left_out: lines.count(),
        }
    }
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, is_list: bool) -> PolicyFile {
        PolicyFile {
            path: "drop.txt".into(),
            text: text.into(),
            is_list,
        }
    }

    #[test]
    fn a_file_is_known_by_its_text() {
        for is_list in [false, true] {
            let known = KnownFile::from(&file("1.2.3.4\n", is_list));
            assert!(known.is(&file("1.2.3.4\n", is_list)));
            assert!(!known.is(&file("1.2.3.5\n", is_list)));
            assert!(!known.is(&file("1.2.3.4\n", !is_list)));
            let elsewhere = PolicyFile {
                path: "other.txt".into(),
                ..file("1.2.3.4\n", is_list)
            };
            assert!(!known.is(&elsewhere));
        }
    }

    #[test]
    fn of_a_list_the_first_lines_are_kept() {
        let known = KnownFile::from(&file(&"1.2.3.4\n".repeat(LIST_LINES + 7), true));
        let list = known.list_text().expect("a list");
        assert_eq!((list.lines.len(), list.lines_left_out), (LIST_LINES, 7));
        assert_eq!(known.policy_text(), None);
        let short = KnownFile::from(&file("# nothing yet", true));
        assert_eq!(short.list_text().expect("a list").lines, ["# nothing yet"]);
    }
}
