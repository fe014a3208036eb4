//! When rules end on the clock of this boot. The rules themselves say so on the calendar, which somebody may put forward
//! or back meanwhile.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    StateDirectory,
    durable::{self, PRIVATE},
    moment::this_boot,
};
use crate::{calendar, dataplane::ClockReading, policy::model::Term};

const FORMAT: u32 = 1;

/// An end is forgotten so long after it was reached.
const KEPT: Duration = Duration::from_hours(24);

/// Ends that are known, in ticks. What is not known is taken from the calendar once, and is known from then on.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    path: Option<PathBuf>,
    known: BTreeMap<Term, u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    boot: String,
    ends: Vec<End>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    since: Timestamp,
    until: Timestamp,
    ticks: u32,
}

impl Ends {
    /// Reads the ends of this boot. Where the file is of another one, or cannot be read, the calendar counts.
    #[must_use]
    pub fn open(state: &StateDirectory) -> Self {
        let path = state.path().join("ends.json");
        let known = read(&path).unwrap_or_default();
        Self {
            path: Some(path),
            known,
        }
    }

    /// The end of a term in ticks; never zero.
    pub fn ticks(&mut self, term: Term, clock: &ClockReading) -> u32 {
        if let Some(ticks) = self.known.get(&term) {
            return *ticks;
        }
        let ticks = by_calendar(term, clock);
        self.known.retain(|_, ticks| clock.since(*ticks) < KEPT);
        self.known.insert(term, ticks);
        self.write();
        ticks
    }

    /// The same where nothing is to be written.
    #[must_use]
    pub fn peek(&self, term: Term, clock: &ClockReading) -> u32 {
        let known = self.known.get(&term).copied();
        known.unwrap_or_else(|| by_calendar(term, clock))
    }

    /// How long it is till then.
    #[must_use]
    pub fn left(&self, term: Term, clock: &ClockReading) -> Duration {
        clock.until(self.peek(term, clock))
    }

    /// Without the file, a restart takes the calendar's word for it again, and loads the policy anew.
    fn write(&self) {
        let Some(path) = &self.path else { return };
        let end = |(term, ticks): (&Term, &u32)| End {
            since: term.since,
            until: term.until,
            ticks: *ticks,
        };
        let content = Content {
            format: FORMAT,
            boot: this_boot(),
            ends: self.known.iter().map(end).collect(),
        };
        let text = serde_json::to_vec_pretty(&content).unwrap_or_default();
        if let Err(error) = durable::replace(path, &text, PRIVATE) {
            tracing::warn!(%error, file = %path.display(), "when rules end is not noted");
        }
    }
}

/// A calendar that has been put back must not have a rule last for longer than it was to.
fn by_calendar(term: Term, clock: &ClockReading) -> u32 {
    let whole = term.until.duration_since(term.since);
    let left = term.until.duration_since(calendar::now()).min(whole);
    let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
    clock.deadline(left).max(1)
}

fn read(path: &Path) -> Option<BTreeMap<Term, u32>> {
    let content: Content = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    if content.format != FORMAT || content.boot != this_boot() {
        return None;
    }
    let known = |end: End| {
        let (since, until) = (end.since, end.until);
        (Term { since, until }, end.ticks)
    };
    Some(content.ends.into_iter().map(known).collect())
}

#[cfg(test)]
mod tests {
    use firewall_common::control::ClockScale;
    use jiff::SignedDuration;

    use super::*;

    const fn clock(now_ticks: u32) -> ClockReading {
        ClockReading {
            scale: ClockScale::for_hz(250),
            now_ticks,
        }
    }

    fn term(since: i64, until: i64) -> Term {
        let now = Timestamp::now();
        Term {
            since: now + SignedDuration::from_secs(since),
            until: now + SignedDuration::from_secs(until),
        }
    }

    #[test]
    fn what_was_said_once_stands_over_a_restart_and_not_over_a_reboot() {
        let directory = tempfile::tempdir().expect("a directory");
        let hour = term(0, 3600);
        let ticks = {
            let state = StateDirectory::open(directory.path()).expect("free");
            let mut ends = Ends::open(&state);
            let ticks = ends.ticks(hour, &clock(1000));
            assert_eq!(
                ends.ticks(hour, &clock(2000)),
                ticks,
                "it does not move with the clock"
            );
            ticks
        };
        let state = StateDirectory::open(directory.path()).expect("free again");
        assert_eq!(Ends::open(&state).peek(hour, &clock(3000)), ticks);
        let path = directory.path().join("ends.json");
        let text = fs::read_to_string(&path).expect("written");
        fs::write(&path, text.replace(&this_boot(), "another")).expect("ours");
        assert_ne!(
            Ends::open(&state).peek(hour, &clock(3000)),
            ticks,
            "the clock of another boot says nothing"
        );
    }

    #[test]
    fn the_calendar_never_makes_a_term_longer() {
        let ends = Ends::default();
        // Set when the calendar stood an hour ahead of now.
        let ahead = term(3600, 3660);
        assert!(ends.left(ahead, &clock(7)) < Duration::from_secs(62));
        assert_eq!(ends.left(term(-90, -60), &clock(7)), Duration::ZERO, "over");
    }
}
