//! The record of what was changed by whom: a chain of entries, each of which has the hash of the one before.
//!
//! ```text
//! STATE_DIR/history        a line for each entry: the SHA-256 of the JSON that follows it
//! STATE_DIR/history.head   number and hash of the last entry
//! ```
//!
//! Whoever changes, removes or reorders an entry breaks the chain behind it. Cutting the end off is told by the head,
//! which stands in `history.head`, in the status, in the log and in a metric, too.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Actor, Cause, StateDirectory, StateError, Unrecorded,
    durable::{self, PRIVATE},
    manifest::sha256_hex,
};
use crate::{calendar, failpoint::Step};

/// What the first entry of a chain says of the one before.
pub const NO_ENTRY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A revision was put in force for good.
    Revision,
    /// Everything but the failsafe is dropped from here on.
    Panic,
    /// Panic has ended.
    PanicOff,
    /// Everything passes for a while.
    Pause,
    /// The pause was ended before its time.
    PauseOff,
    /// Addresses were shut out.
    Ban,
    /// Bans were ended before their time.
    Unban,
    /// Older entries were cut off.
    Checkpoint,
}

impl Event {
    /// The word that people and programs see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revision => "revision",
            Self::Panic => "panic",
            Self::PanicOff => "panic-off",
            Self::Pause => "pause",
            Self::PauseOff => "pause-off",
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// Where older entries were cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The first entry that is kept.
    pub first: u64,
    /// The hash of the one before it.
    pub hash: String,
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What has happened.
    pub event: Event,
    /// The revision in force from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// How it came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Who.
    pub by: Actor,
    /// Who has confirmed it, where it had to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<Actor>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How many things are different.
    #[serde(default)]
    pub changes: u64,
    /// What is different, where no revision says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<String>,
    /// SHA-256 of the revision's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Where older entries were cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

impl Record {
    /// Something that somebody did, with nothing else known of it.
    #[must_use]
    pub const fn of(event: Event, by: Actor) -> Self {
        Self {
            event,
            revision: None,
            cause: None,
            by,
            confirmed_by: None,
            why: None,
            changes: 0,
            what: Vec::new(),
            manifest: None,
            cut: None,
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub record: Record,
    /// Hash of the entry before.
    pub previous: String,
}

/// The last entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Head {
    /// Its number; 0 where there is none.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            number: 0,
            hash: NO_ENTRY.to_owned(),
        }
    }
}

/// Something that is wrong with the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct Fault {
    /// The line of the file, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

/// What reading the whole file has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Entries that could be read, oldest first, each with its hash.
    pub entries: Vec<(Entry, String)>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// Where the chain begins, if older entries were cut off.
    cut: Option<Cut>,
}

/// The file.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    head_path: PathBuf,
    head: Head,
    bytes: u64,
    last_revision: Option<u64>,
    told: Told,
    /// Whether the last entry about panic says that it is on.
    tells_of_panic: bool,
    /// The first entry that was not cut off.
    first: u64,
}

/// The first line of a file whose older entries were cut off.
const CUT: &str = "cut ";

impl History {
    /// Opens the record. What is wrong with it is told, and it goes on from what its last entry says.
    pub fn open(state: &StateDirectory) -> Result<(Self, Vec<String>), StateError> {
        let mut history = Self {
            path: state.path().join("history"),
            head_path: state.path().join("history.head"),
            head: Head::default(),
            bytes: 0,
            last_revision: None,
            told: Told::default(),
            tells_of_panic: false,
            first: 1,
        };
        let mut problems = Vec::new();
        if history.drop_torn_line()? {
            problems.push("the last entry of the history was half written, and was dropped".to_owned());
        }
        let text = read(&history.path)?;
        let chain = Chain::parse(&text);
        if let Some((entry, hash)) = chain.entries.last() {
            history.head = Head {
                number: entry.number,
                hash: hash.clone(),
            };
        }
        let revisions = chain.entries.iter().rev();
        history.last_revision = revisions
            .filter(|(entry, _)| entry.record.event == Event::Revision)
            .find_map(|(entry, _)| entry.record.revision);
        chain
            .entries
            .iter()
            .for_each(|(entry, _)| history.told.note(entry));
        let mut events = chain.entries.iter().rev().map(|(entry, _)| entry.record.event);
        history.tells_of_panic = events.find_map(panic_by).unwrap_or_default();
        history.first = chain.cut.as_ref().map_or(1, |cut| cut.first);
        history.bytes = text.len() as u64;
        let known = history.known_head();
        let before = chain.entries.iter().rev().nth(1).map(|(_, hash)| hash.clone());
        match known {
            // The agent ended between the entry and the head.
            Some(known) if Some(&known.hash) == before.as_ref() => history.write_head()?,
            Some(known) if known != history.head => problems.push(format!(
                "the history does not end with entry {} ({}), which was its last one; `fwctl history verify` says more",
                known.number, known.hash
            )),
            Some(_) => {}
            None if history.head.number > 0 => history.write_head()?,
            None => {}
        }
        if !chain.faults.is_empty() {
            problems.push(format!(
                "the history was changed in {} place(s), first at line {}: {}",
                chain.faults.len(),
                chain.faults[0].line,
                chain.faults[0].what
            ));
        }
        Ok((history, problems))
    }

    /// The last entry.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The revision that the last entry about one names.
    #[must_use]
    pub const fn last_revision(&self) -> Option<u64> {
        self.last_revision
    }

    /// Whether an entry tells of a change of bans or of a pause, or did so before it was cut off.
    #[must_use]
    pub fn tells(&self, change: &Unrecorded) -> bool {
        let told = self.told.about(change.record.event);
        self.first > change.entry
            || told.is_some_and(|(number, record)| *number >= change.entry && *record == change.record)
    }

    /// Whether panic is on, as far as the entries tell.
    #[must_use]
    pub const fn tells_of_panic(&self) -> bool {
        self.tells_of_panic
    }

    /// Adds an entry; durable when it returns.
    pub fn append(&mut self, record: Record) -> Result<Head, StateError> {
        let entry = Entry {
            number: self.head.number + 1,
            at: calendar::now(),
            record,
            previous: self.head.hash.clone(),
        };
        let (line, hash) = written(&self.path, &entry)?;
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(PRIVATE)
            .open(&self.path)
            .map_err(StateError::io("open", &self.path))?;
        file.write_all(line.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|error| {
                // Half a line would be taken for a broken one.
                let _ = file.set_len(self.bytes);
                StateError::io("write", &self.path)(error)
            })?;
        Step::EntryAppended.done();
        self.bytes += line.len() as u64;
        self.head = Head {
            number: entry.number,
            hash,
        };
        if entry.record.event == Event::Revision {
            self.last_revision = entry.record.revision;
        }
        self.tells_of_panic = panic_by(entry.record.event).unwrap_or(self.tells_of_panic);
        self.told.note(&entry);
        self.write_head()?;
        Step::HeadWritten.done();
        Ok(self.head.clone())
    }

    /// Reads the whole chain and looks at every link, the last one among them.
    pub fn read(&self) -> Result<Chain, StateError> {
        let text = read(&self.path)?;
        let mut chain = Chain::parse(&text);
        let last = chain.entries.last().map(|(_, hash)| hash.as_str());
        if last.unwrap_or(NO_ENTRY) != self.head.hash {
            let line = text.lines().count() as u64;
            chain.faults.push(Fault {
                line,
                what: format!(
                    "the last entry is not entry {} ({}), which was recorded last",
                    self.head.number, self.head.hash
                ),
            });
        }
        if let Some(known) = self.known_head()
            && known != self.head
        {
            chain.faults.push(Fault {
                line: text.lines().count() as u64,
                what: format!("history.head names entry {} ({})", known.number, known.hash),
            });
        }
        Ok(chain)
    }

    /// Cuts off the entries before `first`, behind an entry that says so.
    pub fn cut(&mut self, first: u64, by: Actor, why: Option<String>) -> Result<Head, StateError> {
        let chain = self.read()?;
        let damaged = |why: &str| StateError::damaged(&self.path, why);
        if !chain.faults.is_empty() {
            return Err(damaged("nothing is cut off a chain that is broken"));
        }
        let before = chain.entries.iter().find(|(entry, _)| entry.number + 1 == first);
        let Some((_, hash)) = before else {
            return Err(damaged("there is no entry before that"));
        };
        let cut = Cut {
            first,
            hash: hash.clone(),
        };
        self.append(Record {
            why,
            cut: Some(cut.clone()),
            ..Record::of(Event::Checkpoint, by)
        })?;
        let text = read(&self.path)?;
        let kept = text.lines().filter(|line| {
            let number = entry_of(line).map(|(entry, _)| entry.number);
            number.is_some_and(|number| number >= first)
        });
        let mut shorter = format!("{CUT}{} {}\n", cut.first, cut.hash);
        for line in kept {
            shorter.push_str(line);
            shorter.push('\n');
        }
        durable::replace(&self.path, shorter.as_bytes(), PRIVATE)
            .map_err(StateError::io("write", &self.path))?;
        self.bytes = shorter.len() as u64;
        self.first = cut.first;
        Ok(self.head.clone())
    }

    fn known_head(&self) -> Option<Head> {
        let text = fs::read_to_string(&self.head_path).ok()?;
        let (number, hash) = text.trim_end().split_once(' ')?;
        Some(Head {
            number: number.parse().ok()?,
            hash: hash.to_owned(),
        })
    }

    fn write_head(&self) -> Result<(), StateError> {
        let text = format!("{} {}\n", self.head.number, self.head.hash);
        durable::replace(&self.head_path, text.as_bytes(), PRIVATE)
            .map_err(StateError::io("write", &self.head_path))
    }

    /// An agent that was ended while it wrote has left half a line, which nobody was told of.
    fn drop_torn_line(&self) -> Result<bool, StateError> {
        let text = read(&self.path)?;
        if text.is_empty() || text.ends_with('\n') {
            return Ok(false);
        }
        let whole = text.rfind('\n').map_or(0, |end| end + 1) as u64;
        OpenOptions::new()
            .write(true)
            .open(&self.path)
            .and_then(|file| file.set_len(whole).and_then(|()| file.sync_all()))
            .map_err(StateError::io("write", &self.path))?;
        Ok(true)
    }
}

impl Chain {
    fn parse(text: &str) -> Self {
        let mut chain = Self::default();
        let mut expected: Option<(u64, String)> = Some((1, NO_ENTRY.to_owned()));
        for (line, text) in (1..).zip(text.lines()) {
            if line == 1
                && let Some(cut) = cut_of(text)
            {
                expected = Some((cut.first, cut.hash.clone()));
                chain.cut = Some(cut);
                continue;
            }
            let mut fault = |what: String| chain.faults.push(Fault { line, what });
            let Some((entry, hash)) = entry_of(text) else {
                fault("this is no entry".to_owned());
                expected = None;
                continue;
            };
            if hash != sha256_hex(json_of(text).as_bytes()) {
                fault(format!(
                    "entry {} does not have the hash that stands before it",
                    entry.number
                ));
            }
            match &expected {
                Some((number, _)) if *number != entry.number => fault(format!(
                    "entry {} stands where entry {number} belongs",
                    entry.number
                )),
                Some((_, previous)) if *previous != entry.previous => fault(format!(
                    "entry {} does not follow the entry before it",
                    entry.number
                )),
                _ => {}
            }
            expected = Some((entry.number + 1, hash.clone()));
            chain.entries.push((entry, hash));
        }
        if let Some(cut) = &chain.cut {
            let mut checkpoints = chain
                .entries
                .iter()
                .filter_map(|(entry, _)| entry.record.cut.as_ref());
            if !checkpoints.any(|recorded| recorded == cut) {
                chain.faults.push(Fault {
                    line: 1,
                    what: "older entries were cut off, and no checkpoint says so".to_owned(),
                });
            }
        }
        chain
    }
}

/// Whether panic is on after an event, where that is about it.
const fn panic_by(event: Event) -> Option<bool> {
    match event {
        Event::Panic => Some(true),
        Event::PanicOff => Some(false),
        _ => None,
    }
}

/// The last entries about what is kept or noted until it is recorded, with their numbers.
#[derive(Debug, Default)]
struct Told {
    bans: Option<(u64, Record)>,
    pause: Option<(u64, Record)>,
}

impl Told {
    fn note(&mut self, entry: &Entry) {
        let last = match entry.record.event {
            Event::Ban | Event::Unban => &mut self.bans,
            Event::Pause | Event::PauseOff => &mut self.pause,
            _ => return,
        };
        *last = Some((entry.number, entry.record.clone()));
    }

    const fn about(&self, event: Event) -> Option<&(u64, Record)> {
        match event {
            Event::Ban | Event::Unban => self.bans.as_ref(),
            Event::Pause | Event::PauseOff => self.pause.as_ref(),
            _ => None,
        }
    }
}

fn read(path: &Path) -> Result<String, StateError> {
    match fs::read(path) {
        // What is no text is no entry.
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(StateError::io("read", path)(error)),
    }
}

/// An entry as a line, and its hash.
fn written(path: &Path, entry: &Entry) -> Result<(String, String), StateError> {
    let json = serde_json::to_string(entry).map_err(|error| StateError::damaged(path, error.to_string()))?;
    let hash = sha256_hex(json.as_bytes());
    Ok((format!("{hash} {json}\n"), hash))
}

fn json_of(line: &str) -> &str {
    line.split_once(' ').map_or("", |(_, json)| json)
}

fn entry_of(line: &str) -> Option<(Entry, String)> {
    let (hash, json) = line.split_once(' ')?;
    Some((serde_json::from_str(json).ok()?, hash.to_owned()))
}

fn cut_of(line: &str) -> Option<Cut> {
    let (first, hash) = line.strip_prefix(CUT)?.split_once(' ')?;
    Some(Cut {
        first: first.parse().ok()?,
        hash: hash.to_owned(),
    })
}

#[cfg(test)]
mod tests;
