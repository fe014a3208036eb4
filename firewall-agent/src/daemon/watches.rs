//! Who looks at live traffic, for as long as he does.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    calendar,
    control::protocol::{Capture, Failure, FailureKind, WatchKind, WatchStatus},
    state::Actor,
};

/// All looks that are under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Watches(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    all: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    end: Option<Instant>,
    status: WatchStatus,
}

impl Entry {
    /// Until it ends.
    fn left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }
}

/// A look that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    watches: Watches,
    number: u64,
}

impl Watches {
    /// Notes a look of which there may be many, that ends after so many seconds.
    pub(super) fn begin(&self, kind: WatchKind, by: &Actor, seconds: Option<u64>) -> Watching {
        self.enter(&mut self.entries(), kind, by, seconds, None)
    }

    /// Notes a shadow run, of which there is one at a time: the kernel side hands dropped packets to one only.
    pub(super) fn begin_shadow(&self, by: &Actor, seconds: u64) -> Result<Watching, Failure> {
        let mut entries = self.entries();
        let mut others = entries.all.iter();
        if let Some(other) = others.find(|other| other.status.kind == WatchKind::Shadow) {
            let left = other.left().map_or(0, |left| left.as_secs());
            let message = format!(
                "{} has a shadow run under way, and there is one at a time",
                other.status.by.describe()
            );
            return Err(Failure::new(FailureKind::Conflict, message).hint(format!(
                "try again in {} s, when that one ends; `fwctl status` says who watches what",
                left + 1
            )));
        }
        Ok(self.enter(&mut entries, WatchKind::Shadow, by, Some(seconds), None))
    }

    /// Notes a capture, of which there is one at a time.
    pub(super) fn begin_capture(&self, by: &Actor, wanted: &Capture) -> Result<Watching, Failure> {
        let mut entries = self.entries();
        let mut captures = entries.all.iter().filter(|other| other.status.capture.is_some());
        if let Some(other) = captures.next() {
            let message = format!(
                "{} is capturing, and there is one capture at a time",
                other.status.by.describe()
            );
            return Err(Failure::new(FailureKind::Conflict, message)
                .hint("try again when that capture has ended; `fwctl status` says who captures what"));
        }
        let capture = Some(wanted.clone());
        Ok(self.enter(&mut entries, WatchKind::Capture, by, wanted.seconds, capture))
    }

    fn enter(
        &self,
        entries: &mut Entries,
        kind: WatchKind,
        by: &Actor,
        seconds: Option<u64>,
        capture: Option<Capture>,
    ) -> Watching {
        let number = entries.next;
        entries.next += 1;
        entries.all.push(Entry {
            number,
            end: seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds))),
            status: WatchStatus {
                kind,
                by: by.clone(),
                since: calendar::now(),
                seconds_left: None,
                capture,
            },
        });
        Watching {
            watches: self.clone(),
            number,
        }
    }

    /// The looks that are under way, the first before the others.
    pub(super) fn statuses(&self) -> Vec<WatchStatus> {
        let status = |entry: &Entry| WatchStatus {
            seconds_left: entry.left().map(|left| left.as_secs()),
            ..entry.status.clone()
        };
        self.entries().all.iter().map(status).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut entries = self.watches.entries();
        entries.all.retain(|entry| entry.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture() -> Capture {
        Capture {
            rule: Some("site".to_owned()),
            reason: None,
            interface: None,
            direction: None,
            snap_bytes: 64,
            per_second: 10,
            count: None,
            seconds: Some(90),
        }
    }

    #[test]
    fn there_is_one_capture_at_a_time() {
        let watches = Watches::default();
        let root = Actor::new(0, Some("root".to_owned()));
        let taken = watches.begin_capture(&root, &capture()).expect("it is free");
        let refused = watches.begin_capture(&Actor::new(1000, None), &capture());
        let refused = refused.expect_err("it is taken");
        assert!(refused.message.starts_with("root is capturing"), "{refused:?}");
        drop(taken);
        assert!(watches.begin_capture(&Actor::new(1000, None), &capture()).is_ok());
    }

    #[test]
    fn there_is_one_shadow_run_at_a_time_beside_a_capture() {
        let watches = Watches::default();
        let root = Actor::new(0, Some("root".to_owned()));
        let _capture = watches.begin_capture(&root, &capture()).expect("it is free");
        let taken = watches.begin_shadow(&root, 60).expect("it is free");
        let refused = watches.begin_shadow(&Actor::new(1000, None), 1);
        let refused = refused.expect_err("it is taken");
        assert!(
            refused.message.starts_with("root has a shadow run"),
            "{refused:?}"
        );
        let hint = refused.hint.unwrap_or_default();
        assert!(hint.starts_with("try again in 60 s"), "{hint}");
        drop(taken);
        assert!(watches.begin_shadow(&root, 1).is_ok());
    }

    #[test]
    fn who_looks_is_told_for_as_long_as_he_does() {
        let watches = Watches::default();
        assert_eq!(watches.statuses(), []);
        let root = Actor::new(0, Some("root".to_owned()));
        let first = watches.begin(WatchKind::Learn, &root, None);
        let second = watches.begin_shadow(&root, 60).expect("the only one");
        let third = watches.begin_capture(&root, &capture()).expect("the only one");
        let told = |watches: &Watches| -> Vec<(WatchKind, bool, bool)> {
            let all = watches.statuses().into_iter();
            all.map(|one| (one.kind, one.seconds_left.is_some(), one.capture.is_some()))
                .collect()
        };
        assert_eq!(
            told(&watches),
            [
                (WatchKind::Learn, false, false),
                (WatchKind::Shadow, true, false),
                (WatchKind::Capture, true, true)
            ]
        );
        drop((first, third));
        assert_eq!(told(&watches), [(WatchKind::Shadow, true, false)]);
        drop(second);
        assert_eq!(watches.statuses(), []);
    }
}
