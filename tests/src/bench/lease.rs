//! Who may use the bench.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::Bench;
use crate::worker::Worker;

/// The bench of this process.
static BENCH: OnceLock<Mutex<Worker<Bench>>> = OnceLock::new();

thread_local! {
    static HELD: RefCell<Weak<Lease>> = const { RefCell::new(Weak::new()) };
}

/// The right to use the bench: one thread at a time has it.
#[derive(Debug)]
pub struct Lease {
    bench: MutexGuard<'static, Worker<Bench>>,
}

impl Lease {
    /// Waits until no other thread has it. The first one to ask has the bench made.
    #[must_use]
    pub fn take() -> Rc<Self> {
        HELD.with_borrow_mut(|held| {
            held.upgrade().unwrap_or_else(|| {
                let bench = BENCH.get_or_init(|| Mutex::new(Worker::spawn(Bench::new)));
                // A test that has failed leaves nothing that the next one does not reset.
                let bench = bench.lock().unwrap_or_else(PoisonError::into_inner);
                let lease = Rc::new(Self { bench });
                *held = Rc::downgrade(&lease);
                lease
            })
        })
    }

    /// Runs `work` on the bench's thread and returns what it returns.
    pub fn run<R: Send + 'static>(&self, work: impl FnOnce(&mut Bench) -> R + Send + 'static) -> R {
        self.bench.run(work)
    }
}
