//! That an answer takes its time: said on standard error, where somebody is looking.

use std::{
    io::{self, IsTerminal},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{output::duration, progress::Progress};

/// How often it is looked whether it is time to say so.
const INTERVAL: Duration = Duration::from_millis(100);

/// A question that is not answered yet. Where it is dropped, nothing is left of what was said.
pub(super) struct Waiting {
    over: Option<Sender<()>>,
    teller: Option<JoinHandle<()>>,
}

impl Waiting {
    pub(super) fn begin() -> Self {
        let (over, is_over) = mpsc::channel::<()>();
        let teller = io::stderr().is_terminal().then(|| {
            thread::spawn(move || {
                let (mut progress, started) = (Progress::new(), Instant::now());
                while is_over.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    progress
                        .tell(|| format!("waiting for the agent: {}", duration(started.elapsed().as_secs())));
                }
            })
        });
        Self {
            over: Some(over),
            teller,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(teller) = self.teller.take() {
            // It has only told; an answer is there whatever became of it.
            let _ = teller.join();
        }
    }
}
