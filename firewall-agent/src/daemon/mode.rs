//! Panic and pause: nothing but the failsafe passes, or everything.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use firewall_common::cell::Mode;
use jiff::SignedDuration;

use super::{
    agent::{Agent, Editor},
    confirm::Why,
    kernel::EnforceError,
    report::mode_name,
};
use crate::{
    calendar,
    control::protocol::{Failure, FailureKind, ModeChanged},
    state::{Actor, Event, Panic},
};

/// The longest pause: who needs longer unloads.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// How often the log says that everything passes.
const REMINDER: Duration = Duration::from_mins(1);

impl Agent {
    /// Drops everything but the failsafe, from now on. A change that waits for its confirmation is taken back: its
    /// deadline would end the panic.
    pub fn panic(&self, by: &Actor, why: Option<&str>) -> Result<ModeChanged, Failure> {
        let mut editor = self.lock_editor();
        self.refuse_nothing_filtered()?;
        let mut notes = Vec::new();
        if let Some(waiting) = self.unconfirmed() {
            self.go_back(&mut editor, Why::Cancelled, by)?;
            notes.push(format!(
                "revision {}, which was not confirmed, was taken back",
                waiting.record.revision
            ));
        }
        self.change_mode(&mut editor, Mode::Panic, None, Event::Panic, by, why, notes)
    }

    /// Ends panic.
    pub fn end_panic(&self, by: &Actor, why: Option<&str>) -> Result<ModeChanged, Failure> {
        let mut editor = self.lock_editor();
        self.refuse_other_mode(Mode::Panic)?;
        self.change_mode(
            &mut editor,
            Mode::Normal,
            None,
            Event::PanicOff,
            by,
            why,
            Vec::new(),
        )
    }

    /// Lets everything pass, counted; the kernel side ends it by itself.
    pub fn pause(&self, by: &Actor, seconds: u64, why: Option<&str>) -> Result<ModeChanged, Failure> {
        let mut editor = self.lock_editor();
        self.refuse_unconfirmed()?;
        self.refuse_nothing_filtered()?;
        let length = Duration::from_secs(seconds);
        if length.is_zero() || length > LONGEST_PAUSE {
            let message = format!(
                "a pause lasts for 1 second to {} hours",
                LONGEST_PAUSE.as_secs() / 3600
            );
            return Err(Failure::new(FailureKind::BadRequest, message));
        }
        if self.mode()?.0 == Mode::Panic {
            return Err(Failure::new(FailureKind::Conflict, "panic is on").hint("`fwctl panic off` ends it"));
        }
        self.change_mode(
            &mut editor,
            Mode::Pause,
            Some(length),
            Event::Pause,
            by,
            why,
            Vec::new(),
        )
    }

    /// Ends a pause before its time.
    pub fn end_pause(&self, by: &Actor, why: Option<&str>) -> Result<ModeChanged, Failure> {
        let mut editor = self.lock_editor();
        self.refuse_other_mode(Mode::Pause)?;
        self.change_mode(
            &mut editor,
            Mode::Normal,
            None,
            Event::PauseOff,
            by,
            why,
            Vec::new(),
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what four commands have in common, and called by them only"
    )]
    fn change_mode(
        &self,
        editor: &mut Editor,
        mode: Mode,
        length: Option<Duration>,
        event: Event,
        by: &Actor,
        why: Option<&str>,
        mut notes: Vec<String>,
    ) -> Result<ModeChanged, Failure> {
        let changes: Vec<String> = length.map(lasting).into_iter().collect();
        let is_pause = matches!(event, Event::Pause | Event::PauseOff);
        if is_pause {
            notes.extend(editor.note_pause(event, by, why, &changes));
        }
        self.kernel().set_mode(mode, length).map_err(|error| {
            if is_pause {
                editor.clear_pause();
            }
            refused(&error)
        })?;
        self.paused.store(mode == Mode::Pause, Ordering::Relaxed);
        let panic = (mode == Mode::Panic).then(|| Panic {
            since: calendar::now(),
            by: by.clone(),
            why: why.map(str::to_owned),
        });
        notes.extend(self.note_panic(editor, panic));
        if editor.record_event(event, by, why, &changes) && is_pause {
            editor.clear_pause();
        }
        self.follow_history(editor);
        let seconds = length.map(|length| length.as_secs());
        tracing::warn!(
            uid = by.uid,
            user = by.user,
            why,
            seconds,
            "the mode is {} now",
            mode_name(mode)
        );
        Ok(ModeChanged {
            mode: mode_name(mode).to_owned(),
            seconds,
            notes,
        })
    }

    fn refuse_other_mode(&self, wanted: Mode) -> Result<(), Failure> {
        let (mode, _) = self.mode()?;
        if mode == wanted {
            return Ok(());
        }
        let message = format!("{} is not on; the mode is {}", mode_name(wanted), mode_name(mode));
        Err(Failure::new(FailureKind::Conflict, message))
    }

    /// The mode, and how long it lasts if it ends by itself.
    pub(crate) fn mode(&self) -> Result<(Mode, Option<Duration>), Failure> {
        self.kernel().mode().map_err(|error| refused(&error))
    }

    /// Whether everything passes, or did when this was last looked at.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Says in the log that everything passes, and notices when that is over.
    pub(crate) fn follow_pause(&self, reminded: &mut Option<Instant>) {
        if !self.paused.load(Ordering::Relaxed) {
            *reminded = None;
            return;
        }
        match self.mode() {
            Ok((Mode::Pause, left)) => {
                if reminded.is_none_or(|last| last.elapsed() >= REMINDER) {
                    *reminded = Some(Instant::now());
                    let seconds = left.map(|left| left.as_secs());
                    tracing::warn!(seconds, "paused: everything passes");
                }
            }
            Ok(_) => {
                self.paused.store(false, Ordering::Relaxed);
                tracing::warn!("the pause is over: packets are judged by the policy again");
            }
            Err(failure) => tracing::error!("{}", failure.message),
        }
    }
}

/// How long everything passes, for the history.
fn lasting(length: Duration) -> String {
    let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    format!("everything passes for {length:#}")
}

fn refused(error: &EnforceError) -> Failure {
    Failure::new(FailureKind::Failed, error.to_string())
}
