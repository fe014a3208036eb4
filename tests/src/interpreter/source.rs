//! Which line of the source an instruction was made of, by the object's type information (`linux/btf.h`).

use std::fmt;

use anyhow::{Context, Result};
use aya_obj::btf::LineSecInfo;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLine {
    /// The file, without the directories above the crate's.
    pub file: String,
    /// Its line, from 1.
    pub line: u32,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// The strings of the type information, by their offset.
#[derive(Debug)]
pub(super) struct Strings(Vec<u8>);

/// Where `struct btf_header` says how long it is, and where its strings begin and how long they are.
const HEADER_LENGTH: usize = 4;
const STRINGS_OFFSET: usize = 16;
const STRINGS_LENGTH: usize = 20;
/// A line and its column are one number (`BPF_LINE_INFO_LINE_NUM`).
const COLUMN_BITS: u32 = 10;

impl Strings {
    /// Of type information as bytes.
    pub(super) fn of(btf: &[u8]) -> Result<Self> {
        let number = |at: usize| -> Result<usize> {
            let bytes = btf.get(at..at + 4).context("the header is cut short")?;
            Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
        };
        let start = number(HEADER_LENGTH)? + number(STRINGS_OFFSET)?;
        let strings = btf.get(start..start + number(STRINGS_LENGTH)?);
        Ok(Self(strings.context("the strings are cut short")?.to_vec()))
    }

    fn at(&self, offset: u32) -> String {
        let bytes = self.0.get(offset as usize..).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// The line that the instruction at this place of a linked program was made of.
    pub(super) fn line_of(&self, lines: &LineSecInfo, at: usize) -> SourceLine {
        let found = lines
            .line_info
            .iter()
            .filter(|info| info.insn_off as usize <= at)
            .max_by_key(|info| info.insn_off);
        let Some(info) = found else {
            return SourceLine {
                file: "?".to_owned(),
                line: 0,
            };
        };
        SourceLine {
            file: short(&self.at(info.file_name_off)),
            line: info.line_col >> COLUMN_BITS,
        }
    }
}

/// A path from the crate's directory on.
fn short(path: &str) -> String {
    let mut parts: Vec<_> = path.rsplit('/').collect();
    if let Some(source) = parts.iter().position(|part| *part == "src") {
        parts.truncate(source + 2);
    }
    parts.reverse();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_with_the_crate() {
        assert_eq!(
            short("/a/b/firewall-common/src/judge/first.rs"),
            "firewall-common/src/judge/first.rs"
        );
        assert_eq!(short("first.rs"), "first.rs");
    }

    #[test]
    fn strings_end_with_a_zero() {
        let mut btf = vec![0; 24];
        btf[HEADER_LENGTH] = 24;
        btf[STRINGS_LENGTH] = 6;
        btf.extend(*b"\0ab\0cd");
        let strings = Strings::of(&btf).unwrap();
        assert_eq!(
            (strings.at(1), strings.at(4), strings.at(99)),
            ("ab".into(), "cd".into(), String::new())
        );
        assert!(Strings::of(&btf[..25]).is_err());
    }
}
