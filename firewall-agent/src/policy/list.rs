//! Lists of addresses, one entry a line, as feeds publish them.
//!
//! A line holds an address, a prefix or a range, then perhaps a count (ipsum) and a comment behind `#` or `;` (`FireHOL`,
//! Spamhaus), or a JSON object with a `cidr` (Spamhaus).

use std::{net::IpAddr, ops::Range, str::FromStr};

use ipnet::IpNet;
use serde::Deserialize;

use crate::prefix_set::{Members, Prefix};

/// Most entries of a list.
const MAX_ENTRIES: usize = 1 << 22;
/// Faults that are told of one by one.
const MAX_FAULTS: usize = 20;

/// The entries of a list, as they stand there: in file order, not merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// IPv4 ranges, first and last address.
    pub v4: Vec<(u32, u32)>,
    /// IPv6 prefixes; a range that is none is several.
    pub v6: Vec<Prefix>,
}

/// Something that is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// First and last address.
    V4(u32, u32),
    /// Prefixes that make up what was written.
    V6(Vec<Prefix>),
}

impl Entries {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an entry behind the others.
    pub fn push(&mut self, entry: Entry) {
        match entry {
            Entry::V4(first, last) => self.v4.push((first, last)),
            Entry::V6(prefixes) => self.v6.extend(prefixes),
        }
    }

    /// Those of all lists together, in order and merged.
    pub fn merged<'a>(lists: impl IntoIterator<Item = &'a Self> + Clone) -> Members {
        let all = lists.into_iter();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for list in all {
            v4.extend_from_slice(&list.v4);
            v6.extend_from_slice(&list.v6);
        }
        Members::new(v4, v6)
    }

    /// An entry that has something in common with a range of IPv4.
    #[must_use]
    pub fn overlap_v4(&self, first: u32, last: u32) -> Option<(u32, u32)> {
        self.v4
            .iter()
            .copied()
            .find(|entry| entry.0 <= last && first <= entry.1)
    }

    /// An entry that has something in common with a range of IPv6.
    #[must_use]
    pub fn overlap_v6(&self, first: u128, last: u128) -> Option<Prefix> {
        self.v6
            .iter()
            .copied()
            .find(|entry| entry.first() <= last && first <= entry.last())
    }
}

/// Reads a list. Where something is wrong there are no entries, but what is wrong, line by line.
pub fn parse(text: &str) -> Result<Entries, Vec<LineFault>> {
    let mut entries = Entries::default();
    let mut faults = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let span = at..at + line.trim_end_matches(['\n', '\r']).len();
        at += line.len();
        match parse_line(line) {
            Ok(None) => {}
            Ok(Some(entry)) => entries.push(entry),
            Err(message) => faults.push(LineFault {
                span: span.clone(),
                message,
            }),
        }
        if entries.len() > MAX_ENTRIES {
            faults.push(LineFault {
                span,
                message: format!("a list has at most {MAX_ENTRIES} entries"),
            });
            break;
        }
        if faults.len() == MAX_FAULTS {
            let message = "further lines were not looked at: too many are wrong".to_owned();
            faults.push(LineFault {
                span: at..at,
                message,
            });
            break;
        }
    }
    if faults.is_empty() {
        Ok(entries)
    } else {
        Err(faults)
    }
}

/// The entry of a line, if it has one.
pub fn parse_line(line: &str) -> Result<Option<Entry>, String> {
    // Of a text that begins with a byte order mark, the first line does.
    let line = line.trim_start_matches('\u{feff}').trim();
    if line.starts_with('{') {
        return parse_json(line);
    }
    let said = line.split(['#', ';']).next().unwrap_or_default().trim();
    if said.is_empty() {
        return Ok(None);
    }
    let mut words = said.split_whitespace();
    let first = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    match rest.as_slice() {
        [] => parse_entry(first).map(Some),
        ["-", last] => range(first, last).map(Some),
        // How many other lists have it.
        counts if counts.iter().all(|word| word.parse::<u64>().is_ok()) => parse_entry(first).map(Some),
        _ => Err(format!("`{}` is no address, prefix or range", shown(said))),
    }
}

/// An address, a prefix or a range.
pub fn parse_entry(text: &str) -> Result<Entry, String> {
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(of_network(IpNet::from(address)));
    }
    if let Some((first, last)) = text.split_once('-') {
        return range(first, last);
    }
    let network =
        IpNet::from_str(text).map_err(|_| format!("`{}` is no address, prefix or range", shown(text)))?;
    if network.addr() != network.network() {
        return Err(format!(
            "`{text}` has bits behind its length: {} is meant, or an address",
            network.trunc()
        ));
    }
    Ok(of_network(network))
}

#[derive(Deserialize)]
struct Object {
    cidr: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

fn parse_json(line: &str) -> Result<Option<Entry>, String> {
    let object: Object =
        serde_json::from_str(line).map_err(|error| format!("this is no JSON object: {error}"))?;
    match (object.cidr, object.kind.as_deref()) {
        (Some(cidr), _) => parse_entry(&cidr).map(Some),
        (None, Some("metadata")) => Ok(None),
        (None, _) => Err("the object has no `cidr`".to_owned()),
    }
}

fn of_network(network: IpNet) -> Entry {
    match network {
        IpNet::V4(v4) => Entry::V4(v4.network().to_bits(), v4.broadcast().to_bits()),
        IpNet::V6(v6) => Entry::V6(vec![Prefix::new(v6.network().to_bits(), v6.prefix_len())]),
    }
}

fn range(first: &str, last: &str) -> Result<Entry, String> {
    let address = |text: &str| IpAddr::from_str(text).map_err(|_| format!("`{}` is no address", shown(text)));
    match (address(first)?, address(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Ok(Entry::V4(first.to_bits(), last.to_bits()))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Ok(Entry::V6(Prefix::of_range(first.to_bits(), last.to_bits())))
        }
        (first, last) if first.is_ipv4() == last.is_ipv4() => Err(format!("{first} is behind {last}")),
        _ => Err("a range is of one family".to_owned()),
    }
}

/// A text from elsewhere, as far as it fits a message.
fn shown(text: &str) -> String {
    text.chars()
        .take(60)
        .collect::<String>()
        .escape_debug()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(first: [u8; 4], last: [u8; 4]) -> (u32, u32) {
        (u32::from_be_bytes(first), u32::from_be_bytes(last))
    }

    #[test]
    fn formats_of_feeds_are_read() {
        let text = "\u{feff}# FireHOL\r\n\r\n1.2.3.0/24 ; SBL123\r\n9.9.9.9\t7\n10.0.0.1-10.0.0.9 # ours\n10.0.1.1 - 10.0.1.2\n\
            {\"cidr\":\"5.6.0.0/16\",\"sblid\":\"SBL1\",\"rir\":\"ripe\"}\n{\"type\":\"metadata\",\"records\":1}\n2001:db8::/32\n::1-::2";
        let entries = parse(text).expect("each line is right");
        assert_eq!(
            entries.v4,
            [
                v4([1, 2, 3, 0], [1, 2, 3, 255]),
                v4([9, 9, 9, 9], [9, 9, 9, 9]),
                v4([10, 0, 0, 1], [10, 0, 0, 9]),
                v4([10, 0, 1, 1], [10, 0, 1, 2]),
                v4([5, 6, 0, 0], [5, 6, 255, 255]),
            ]
        );
        assert_eq!(entries.v6.len(), 3);
    }

    #[test]
    fn faults_are_told_by_line() {
        let faults =
            parse("1.2.3.4\nexample.org\n10.0.0.1/8\n1.2.3.4 drop\n4.4.4.4-1.1.1.1\n::-1.1.1.1\n{}\n")
                .expect_err("six are wrong");
        let lines: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert_eq!(faults[0].span, 8..19);
        assert!(lines[1].contains("10.0.0.0/8"), "{lines:?}");
    }

    #[test]
    fn a_text_that_is_no_list_is_given_up() {
        let faults = parse(&"<html>\n".repeat(10_000)).expect_err("no list");
        assert_eq!(faults.len(), MAX_FAULTS + 1);
    }
}
