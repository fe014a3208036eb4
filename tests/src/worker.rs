//! A thread that owns something, and does work on it for others: for what lives in the namespaces of one thread.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Sender, channel},
    thread,
};

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// The way to such a thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Worker<T>(Sender<Job<T>>);

impl<T: 'static> Worker<T> {
    /// Starts a thread that begins by making what it will own.
    #[must_use]
    pub fn spawn(make: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, jobs) = channel::<Job<T>>();
        thread::spawn(move || {
            let mut owned = make();
            for job in jobs {
                job(&mut owned);
            }
        });
        Self(sender)
    }

    /// Runs `work` on the thread and returns what it returns.
    ///
    /// # Panics
    /// Where `work` panics, and where the thread could not make what it was to own.
    pub fn run<R: Send + 'static>(&self, work: impl FnOnce(&mut T) -> R + Send + 'static) -> R {
        let (answer, answers) = channel::<Result<R, String>>();
        let job: Job<T> = Box::new(move |owned| {
            let result = catch_unwind(AssertUnwindSafe(|| work(owned)));
            // Nobody waits for an answer only where the test has been given up.
            let _ = answer.send(result.map_err(|panic| message(panic.as_ref())));
        });
        self.0.send(job).expect("the worker has begun");
        let result = answers.recv().expect("the worker has begun");
        // What its thread prints would be the output of the test that had it started.
        result.unwrap_or_else(|message| panic!("on the worker's thread: {message}"))
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
