//! Who may use the bench.

use std::{
    any::Any,
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::{Rc, Weak},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
};

use super::Bench;

type Job = Box<dyn FnOnce(&mut Bench) + Send>;

/// Where jobs for the bench's thread go.
static JOBS: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();

thread_local! {
    static HELD: RefCell<Weak<Lease>> = const { RefCell::new(Weak::new()) };
}

/// The right to use the bench: one thread at a time has it.
#[derive(Debug)]
pub struct Lease {
    jobs: MutexGuard<'static, Sender<Job>>,
}

impl Lease {
    /// Waits until no other thread has it. The first one to ask has the bench made.
    #[must_use]
    pub fn take() -> Rc<Self> {
        HELD.with_borrow_mut(|held| {
            held.upgrade().unwrap_or_else(|| {
                let jobs = JOBS.get_or_init(|| Mutex::new(serve()));
                // A test that has failed leaves nothing that the next one does not reset.
                let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
                let lease = Rc::new(Self { jobs });
                *held = Rc::downgrade(&lease);
                lease
            })
        })
    }

    /// Runs `work` on the bench's thread and returns what it returns.
    ///
    /// # Panics
    /// Where `work` panics, and where the bench could not be made.
    pub fn run<R: Send + 'static>(&self, work: impl FnOnce(&mut Bench) -> R + Send + 'static) -> R {
        let (answer, answers) = channel::<Result<R, String>>();
        let job: Job = Box::new(move |bench| {
            let result = catch_unwind(AssertUnwindSafe(|| work(bench)));
            // Nobody waits for an answer only where the test has been given up.
            let _ = answer.send(result.map_err(|panic| message(panic.as_ref())));
        });
        self.jobs.send(job).expect("the bench was made");
        let result = answers.recv().expect("the bench was made");
        // What the bench's thread prints would be the output of the test that had the bench made.
        result.unwrap_or_else(|message| panic!("on the bench: {message}"))
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

/// Starts the bench's thread.
fn serve() -> Sender<Job> {
    let (sender, jobs) = channel::<Job>();
    thread::Builder::new()
        .name("bench".to_owned())
        .spawn(move || {
            let mut bench = Bench::new();
            for job in jobs {
                job(&mut bench);
            }
        })
        .expect("a thread");
    sender
}
