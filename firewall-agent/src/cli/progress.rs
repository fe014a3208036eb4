//! How far a command has come, on standard error, where somebody is looking.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// What takes less says nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the line is written anew.
const INTERVAL: Duration = Duration::from_millis(200);

/// A line that is written over again and again.
pub(super) struct Progress {
    is_wanted: bool,
    started: Instant,
    told: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_wanted: io::stderr().is_terminal(),
            started: Instant::now(),
            told: None,
        }
    }

    /// Says how far it has come, if it is time to.
    pub(super) fn tell(&mut self, text: impl FnOnce() -> String) {
        let is_due = match self.told {
            None => self.started.elapsed() >= PATIENCE,
            Some(told) => told.elapsed() >= INTERVAL,
        };
        if self.is_wanted && is_due {
            self.told = Some(Instant::now());
            // Nobody who can be told is no reason to stop.
            let _ = write!(io::stderr(), "\r\x1b[K{}", text());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
