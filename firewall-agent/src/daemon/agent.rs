//! The agent: what is in force, and who may change it when.
//!
//! Locks are taken in the order editor, bans, kernel, and the snapshots last. A change holds the editor for as long as it
//! takes, the kernel only while it loads and switches, so that readers never wait for a policy to be checked.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, atomic::AtomicBool},
    time::Instant,
};

use firewall_common::cell::Mode;
use jiff::Timestamp;

use super::{
    bans::BanBook,
    chain::chain,
    confirm::{Ended, Unconfirmed},
    cross_check::DryRuns,
    event_feed::EventFeed,
    in_force::InForce,
    kernel::Kernel,
    log::PacketBudget,
    prepare,
    shadow::ShadowRun,
    stamps::Stamps,
    timed,
    watches::Watches,
};
use crate::{
    calendar,
    control::protocol::{Failure, LastReload},
    dataplane::{DataplaneError, give_back_memory},
    diagnostic::SourceSet,
    settings::{Settings, SettingsSource},
    state::{
        Actor, Cause, CounterNumbers, Head, History, IntentFile, Note, Panic, PendingFile, Revisions,
        StateDirectory, Unrecorded,
    },
};

/// What a change needs: the revisions and the counter numbers. Whoever holds it is the only one to change anything.
pub(super) struct Editor {
    pub(super) revisions: Revisions,
    pub(super) counters: CounterNumbers,
    pub(super) pending: PendingFile,
    pub(super) intent: IntentFile,
    pub(super) panic: Note<Panic>,
    pub(super) pause: Note<Unrecorded>,
    pub(super) history: History,
    /// Keeps other agents out of the directory.
    pub(super) _directory: StateDirectory,
}

/// How the agent is doing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// The last attempt to put a policy in force.
    pub(crate) last_reload: Option<LastReload>,
    /// Attempts that ended well since the start.
    pub(crate) reloads_succeeded: u64,
    /// Attempts that failed since the start.
    pub(crate) reloads_failed: u64,
    /// Whether the policy files differ from what is in force.
    pub(crate) pending: bool,
    /// What went wrong at the start and has not come right since, and what was mended.
    pub(crate) notes: Vec<String>,
    /// Log events that the agent has read.
    pub(crate) events: u64,
    /// Changes that nobody has confirmed in time since the start.
    pub(crate) confirms_expired: u64,
}

/// The agent.
pub struct Agent {
    pub(super) settings: Settings,
    /// Where they are from.
    pub(super) settings_source: OnceLock<SettingsSource>,
    pub(super) started: Timestamp,
    pub(super) editor: Mutex<Editor>,
    bans: Mutex<BanBook>,
    kernel: Mutex<Kernel>,
    in_force: RwLock<Arc<InForce>>,
    health: RwLock<Health>,
    /// Number of the judgement and the files when it was last looked whether they differ.
    looked_at: Mutex<Option<(u32, Stamps)>>,
    /// The change in force that waits for its confirmation, if one does.
    unconfirmed: RwLock<Option<Arc<Unconfirmed>>>,
    /// Whether everything passes, or did when this was last looked at.
    pub(super) paused: AtomicBool,
    /// Who has the host in panic, while it is.
    panic: RwLock<Option<Panic>>,
    /// The last entry of the history.
    history_head: RwLock<Head>,
    /// How the last one that was not confirmed has ended.
    ended: Mutex<Option<Ended>>,
    /// Candidates that were shadowed.
    shadow_runs: Mutex<Vec<ShadowRun>>,
    /// Log events on their way to those who watch.
    pub(super) events: EventFeed,
    /// Taken before all other locks.
    pub(super) dry_runs: Mutex<DryRuns>,
    /// Since when it runs, for what must not depend on a clock that can be set.
    pub(super) running: Instant,
    /// How many packets may still go into the log.
    pub(super) packet_budget: PacketBudget,
    /// Who looks at live traffic.
    pub(super) watches: Watches,
}

impl Agent {
    pub(super) fn new(
        settings: Settings,
        editor: Editor,
        bans: BanBook,
        kernel: Kernel,
        in_force: InForce,
        health: Health,
    ) -> Self {
        let history_head = RwLock::new(editor.history.head().clone());
        let paused = kernel.mode().is_ok_and(|(mode, _)| mode == Mode::Pause);
        Self {
            settings,
            settings_source: OnceLock::new(),
            started: calendar::now(),
            editor: Mutex::new(editor),
            bans: Mutex::new(bans),
            kernel: Mutex::new(kernel),
            in_force: RwLock::new(Arc::new(in_force)),
            health: RwLock::new(health),
            looked_at: Mutex::new(None),
            unconfirmed: RwLock::new(None),
            paused: AtomicBool::new(paused),
            panic: RwLock::default(),
            history_head,
            ended: Mutex::new(None),
            shadow_runs: Mutex::default(),
            events: EventFeed::new(),
            dry_runs: Mutex::default(),
            running: Instant::now(),
            packet_budget: PacketBudget::default(),
            watches: Watches::default(),
        }
    }

    /// The change that waits for its confirmation.
    pub(crate) fn unconfirmed(&self) -> Option<Arc<Unconfirmed>> {
        self.unconfirmed
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_unconfirmed(&self, unconfirmed: Option<Unconfirmed>) {
        *self.unconfirmed.write().unwrap_or_else(PoisonError::into_inner) = unconfirmed.map(Arc::new);
    }

    /// Who has the host in panic, while it is.
    pub(crate) fn panic_note(&self) -> Option<Panic> {
        self.panic.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_panic(&self, panic: Option<Panic>) {
        *self.panic.write().unwrap_or_else(PoisonError::into_inner) = panic;
    }

    /// The last entry of the history.
    pub(crate) fn history_head(&self) -> Head {
        self.history_head
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_history_head(&self, head: Head) {
        *self.history_head.write().unwrap_or_else(PoisonError::into_inner) = head;
    }

    pub(super) fn ended(&self) -> MutexGuard<'_, Option<Ended>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shadow_runs(&self) -> MutexGuard<'_, Vec<ShadowRun>> {
        self.shadow_runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy in force.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.in_force
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_in_force(&self, in_force: impl Into<Arc<InForce>>) {
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = in_force.into();
    }

    /// How the agent is doing.
    pub(crate) fn health(&self) -> Health {
        self.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn with_health(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says something in the log, and in the status for as long as the agent runs.
    pub(super) fn note(&self, note: String) {
        tracing::warn!("{note}");
        self.with_health(|health| health.notes.push(note));
    }

    /// Takes a note out of the status that holds no longer.
    pub(super) fn take_back_note(&self, note: &str) {
        self.with_health(|health| health.notes.retain(|other| other != note));
    }

    /// The kernel side. A thread that panicked while it held it has left it usable: every change is one call.
    pub(super) fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_bans(&self) -> MutexGuard<'_, BanBook> {
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the history's last entry to who asks for it.
    pub(super) fn follow_history(&self, editor: &Editor) {
        self.set_history_head(editor.history.head().clone());
    }

    /// Whoever changes anything. Where the window of a change is over, what that has brought about is done first.
    pub(super) fn lock_editor(&self) -> MutexGuard<'_, Editor> {
        let mut editor = self.editor.lock().unwrap_or_else(PoisonError::into_inner);
        self.end_window_if_over(&mut editor);
        editor
    }

    /// Has the slot ready that the next change is going to take. The kernel verifies its programs for seconds, and
    /// meanwhile interfaces that appear must be attached, and readers be answered.
    pub(super) fn make_room(&self, _held: &Editor, blocks: usize) {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        if let Err(error) = self.try_to_make_room(blocks) {
            // Loading tries it once more, and says what is wrong.
            tracing::warn!(
                error = chain(&error),
                "no slot could be made ready for the next policy"
            );
        }
    }

    fn try_to_make_room(&self, blocks: u32) -> Result<(), DataplaneError> {
        let spare = self.kernel().dataplane.spare_slot(blocks)?;
        let Some(mut spare) = spare else { return Ok(()) };
        spare.verify()?;
        self.kernel().dataplane.install(spare)
    }

    /// Has a slot ready for a policy as large as the one in force, so that the first edit is as quick as any other.
    pub(crate) fn make_room_for_the_next(&self) {
        let editor = self.lock_editor();
        let blocks = self.in_force().blocks;
        self.make_room(&editor, blocks);
    }

    /// Whether the kernel side answers; blocks for as long as it does not.
    pub(crate) fn probe(&self) -> bool {
        self.kernel().dataplane.cell().is_ok()
    }

    /// The policy files as they are on disk, and the rules beside them that end by themselves.
    pub(super) fn sources_on_disk(&self) -> SourceSet {
        timed::sources(&self.settings)
    }

    /// Looks whether the policy files differ from what is in force; not while somebody changes them both.
    pub(crate) fn look_for_pending(&self) {
        let Ok(_quiet) = self.editor.try_lock() else {
            return;
        };
        let in_force = self.in_force();
        // Read before the files are: what is written meanwhile shows the next time.
        let stamps = Stamps::of(&self.settings.policy, &in_force.files);
        let looked_at = stamps.map(|stamps| (in_force.epoch, stamps));
        let mut last = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if looked_at.is_some() && *last == looked_at {
            return;
        }
        let files = prepare::files(&self.sources_on_disk());
        let pending = !in_force.has_files(&files);
        *last = looked_at;
        drop(files);
        give_back_memory();
        if pending != self.health().pending {
            tracing::info!(pending, "policy files compared with what is in force");
        }
        self.with_health(|health| health.pending = pending);
    }

    /// Remembers how an attempt to put a policy in force has ended, and logs it.
    pub(super) fn record(&self, by: &Actor, cause: Cause, failure: Option<&Failure>) {
        match failure {
            None => tracing::info!(
                uid = by.uid,
                user = by.user,
                cause = cause.name(),
                "a policy was put in force"
            ),
            Some(failure) => tracing::error!(
                uid = by.uid,
                user = by.user,
                cause = cause.name(),
                kind = ?failure.kind,
                "what was in force stays in force: {}",
                failure.message
            ),
        }
        self.with_health(|health| health.record(by, cause, failure));
    }
}

impl Health {
    pub(super) fn record(&mut self, by: &Actor, cause: Cause, failure: Option<&Failure>) {
        match failure {
            None => self.reloads_succeeded += 1,
            Some(_) => self.reloads_failed += 1,
        }
        self.last_reload = Some(LastReload {
            at: calendar::now(),
            by: by.clone(),
            cause,
            failure: failure.cloned(),
        });
    }
}
