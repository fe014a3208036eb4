//! The calendar, which somebody may put forward or back at any time.
//!
//! Only a program that calls [`step`] sees another one than the machine's: the agent that is installed never does.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// How far it stands ahead of the machine's, in seconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// The time by the calendar.
#[must_use]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    let ahead = SignedDuration::from_secs(AHEAD.load(Ordering::Relaxed));
    now.checked_add(ahead).unwrap_or(now)
}

/// Has this process see a calendar that stands so many seconds ahead of the machine's. For the programs of test suites.
pub fn step(seconds: i64) {
    AHEAD.store(seconds, Ordering::Relaxed);
}
