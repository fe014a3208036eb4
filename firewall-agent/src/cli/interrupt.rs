//! Ctrl-C, for commands that have something to finish.

use std::{
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::sys::signal::{SigSet, Signal};

/// What a shell makes of a program that an interrupt has ended.
const INTERRUPTED: i32 = 130;

/// Whether the user has had enough.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the first interrupt is only noted; the second ends the program.
    pub(super) fn catch() -> Self {
        let caught = Self(Arc::default());
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        // Where they cannot be held back they end the program, as ever.
        if signals.thread_block().is_ok() {
            let noted = caught.clone();
            thread::spawn(move || {
                if signals.wait().is_ok() {
                    noted.0.store(true, Ordering::Relaxed);
                }
                if signals.wait().is_ok() {
                    exit(INTERRUPTED);
                }
            });
        }
        caught
    }

    /// Whether there was one.
    pub(super) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
