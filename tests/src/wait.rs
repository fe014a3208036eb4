//! Waiting for what takes a moment.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Waits until `holds` says true, asking every few milliseconds; false where it does not within `limit`.
#[must_use]
pub fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}
