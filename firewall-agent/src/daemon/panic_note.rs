//! Panic outlasts the machine: it is noted in the state directory, and on again before a start enforces anything.

use super::{
    agent::{Agent, Editor},
    start::{Starter, own_actor},
};
use crate::{
    calendar,
    failpoint::Step,
    state::{Actor, Panic, StateError},
};

impl Agent {
    /// Notes that panic is on, or that it is not any more. Says what comes of it where it cannot be noted: what the
    /// operator wants holds all the same.
    pub(super) fn note_panic(&self, editor: &Editor, panic: Option<Panic>) -> Option<String> {
        let noted = match &panic {
            Some(panic) => editor.panic.write(panic),
            None => editor.panic.clear(),
        };
        Step::ModeNoted.done();
        let is_on = panic.is_some();
        self.set_panic(panic);
        let error = noted.err()?;
        tracing::error!(%error, "panic is noted otherwise than it is");
        Some(if is_on {
            format!("a restart of the machine would end panic: {error}")
        } else {
            format!("a restart of the agent would put panic on again: {error}")
        })
    }
}

impl Starter<'_> {
    /// Puts panic on again where it was on: by the state directory, or by the kernel side alone where the agent was
    /// killed before it could note it. Whatever is put in force from here on is so under panic.
    pub(super) fn keep_panic(&mut self, editor: &Editor) -> Option<Panic> {
        let noted = editor.panic.read();
        let is_on = self.kernel.is_in_panic();
        let panic = match noted {
            Ok(None) if !is_on => return None,
            Ok(Some(panic)) => panic,
            Ok(None) => {
                let panic = found();
                self.tell(editor.panic.write(&panic));
                panic
            }
            Err(error) => {
                self.tell(Err(error));
                found()
            }
        };
        self.kernel.start_in_panic();
        self.note(format!(
            "panic is on since {:.0} by {}: everything but the failsafe is dropped; `fwctl panic off` ends it",
            panic.since,
            Actor::describe(&panic.by)
        ));
        Some(panic)
    }

    fn tell(&mut self, outcome: Result<(), StateError>) {
        if let Err(error) = outcome {
            self.note(error.to_string());
        }
    }
}

fn found() -> Panic {
    Panic {
        since: calendar::now(),
        by: own_actor(),
        why: None,
    }
}
