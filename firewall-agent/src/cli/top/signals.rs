//! Signals that end the dashboard.

use std::{
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};
use ratatui::crossterm::terminal::disable_raw_mode;

/// How long the dashboard may take to end by itself. One that writes to a terminal that nobody reads never does.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a signal has asked for the end.
pub(super) struct EndSignal(Arc<AtomicBool>);

impl EndSignal {
    /// From now on the signals that would end the program are noted first, so that it can restore the terminal. Has to
    /// be called before there are other threads, which would still be ended by them.
    pub(super) fn catch() -> Self {
        let caught = Self(Arc::default());
        let signals: SigSet = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT]
            .into_iter()
            .collect();
        // Where they cannot be held back they end the program, as ever.
        if signals.thread_block().is_ok() {
            let noted = Arc::clone(&caught.0);
            thread::spawn(move || {
                let Ok(signal) = signals.wait() else { return };
                noted.store(true, Ordering::Relaxed);
                thread::sleep(PATIENCE);
                // It is stuck. What can be restored without a write is.
                let _ = disable_raw_mode();
                // What a shell makes of a program that a signal has ended.
                exit(128 + signal as i32);
            });
        }
        caught
    }

    /// Whether there was one.
    pub(super) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
