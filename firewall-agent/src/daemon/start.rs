//! What a start puts in force: the last confirmed revision; without one, the files; without those, the failsafe.

use std::sync::Arc;

use nix::unistd::Uid;

use super::{
    agent::{Agent, Editor, Health},
    bans::BanBook,
    chain::chain,
    commit::{CommitError, Occasion, commit},
    confirm::Ended,
    in_force::{CounterUse, InForce},
    kernel::{EnforceError, Kernel, Lasting, Strictness},
    prepare::{PrepareError, Prepared, files, prepare, prepare_failsafe, sources_of},
    timed,
};
use crate::{
    control::protocol::{Enforcing, Failure},
    dataplane::{Adoption, Dataplane, DataplaneError, Repair},
    settings::Settings,
    state::{
        Actor, Cause, CounterNumbers, Ends, History, IntentFile, Manifest, Numbering, Panic, PendingFile,
        Recovered, Revision, Revisions, StateDirectory, StateError, Unrecorded,
    },
};

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The kernel refused.
    #[error("{}", chain(.0))]
    Dataplane(#[from] DataplaneError),
    /// Not even the failsafe could be put in force.
    #[error("nothing can be put in force: {0}")]
    Nothing(String),
}

impl Agent {
    /// Adopts what the kernel holds, and puts in force what this host should enforce.
    pub fn start(settings: Settings, dataplane: Box<dyn Dataplane>) -> Result<Self, StartError> {
        // Before the kernel is touched: another agent may hold the directory.
        let directory = match StateDirectory::open(&settings.state_dir) {
            Err(error @ StateError::InUse { .. }) => return Err(error.into()),
            other => other,
        };
        let mut kernel = Kernel::new(dataplane, settings.attach.clone());
        let adoption = kernel.dataplane.adopt_or_create()?;
        kernel.dataplane.sync_local_addresses()?;
        let mut starter = Starter {
            settings: &settings,
            kernel: &mut kernel,
            adoption: &adoption,
            health: Health::default(),
            ended: None,
            held_nothing: false,
        };
        starter.note_adoption();
        let opened = directory.and_then(|directory| starter.open_state(directory));
        let (mut editor, bans, recovered) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                starter.close_down();
                return Err(error.into());
            }
        };
        let panic = starter.keep_panic(&editor);
        editor.catch_up_panic(panic.as_ref());
        let resumed = starter.resume(&mut editor, recovered.revision.as_ref())?;
        starter.settle_intent(&editor, recovered.revision.as_ref(), resumed.is_some());
        let (in_force, unconfirmed) = if let Some((in_force, unconfirmed)) = resumed {
            (in_force, Some(unconfirmed))
        } else {
            let in_force = starter.put_in_force(&mut editor, recovered)?;
            starter.detach_unwanted();
            (in_force, None)
        };
        let (health, ended) = (starter.health, starter.ended);
        let agent = Self::new(settings, editor, bans, kernel, in_force, health);
        agent.set_unconfirmed(unconfirmed);
        agent.set_panic(panic);
        *agent.ended() = ended;
        agent.follow_network();
        agent.look_for_pending();
        Ok(agent)
    }
}

/// A start on its way.
pub(super) struct Starter<'a> {
    pub(super) settings: &'a Settings,
    pub(super) kernel: &'a mut Kernel,
    pub(super) adoption: &'a Adoption,
    health: Health,
    /// A change that was not confirmed while no agent was there.
    pub(super) ended: Option<Ended>,
    /// The kernel side judges by what is there before the first policy, which nobody put in force.
    pub(super) held_nothing: bool,
}

impl Starter<'_> {
    pub(super) fn note(&mut self, note: String) {
        tracing::warn!("{note}");
        self.health.notes.push(note);
    }

    fn note_adoption(&mut self) {
        let adoption = self.adoption;
        if let Some(version) = adoption.replaced_abi {
            self.note(format!("replaced a dataplane of ABI version {version}"));
        }
        for repair in &adoption.repairs {
            self.note(describe(repair));
        }
        for (interface, error) in &adoption.failures {
            self.note(format!("{interface} could not be mended: {}", chain(error)));
        }
    }

    fn open_state(&mut self, directory: StateDirectory) -> Result<(Editor, BanBook, Recovered), StateError> {
        let pending = PendingFile::new(&directory);
        let intent = IntentFile::new(&directory);
        let panic = Panic::note(&directory);
        let pause = Unrecorded::note_of_pause(&directory);
        let (history, problems_of_history) = History::open(&directory)?;
        let waiting = pending.read().ok().flatten();
        let (revisions, mut recovered) = Revisions::open_with(
            &directory,
            waiting.map(|waiting| waiting.revision),
            history.last_revision().is_some(),
        )?;
        let capacity = u32::from(self.kernel.dataplane.rule_counter_capacity());
        let (counters, problem) = CounterNumbers::open(&directory, capacity);
        self.kernel.ends = Ends::open(&directory);
        // Before anything is attached that packets could come in on.
        let (mut bans, problems) = BanBook::open(&directory, self.kernel);
        let other = recovered.problems.drain(..).chain(problem);
        let other = other.map(|problem| problem.to_string());
        for problem in other.chain(problems).chain(problems_of_history) {
            self.note(problem);
        }
        let mut editor = Editor {
            revisions,
            counters,
            pending,
            intent,
            panic,
            pause,
            history,
            _directory: directory,
        };
        editor.catch_up(recovered.revision.as_ref());
        let pause = editor.catch_up_pause(self.kernel.last_mode());
        for note in bans.catch_up(&mut editor).into_iter().chain(pause) {
            self.note(note);
        }
        Ok((editor, bans, recovered))
    }

    fn put_in_force(&mut self, editor: &mut Editor, recovered: Recovered) -> Result<InForce, StartError> {
        if let Some(in_force) = self.changed_files(editor, recovered.revision.as_ref()) {
            return Ok(in_force);
        }
        let had_revision = recovered.revision.is_some() || editor.revisions.numbers()?.last().is_some();
        if let Some(in_force) = recovered
            .revision
            .and_then(|revision| self.restore(editor, revision))
        {
            return Ok(in_force);
        }
        if !had_revision && let Some(in_force) = self.wait_for_the_first()? {
            return Ok(in_force);
        }
        if let Some(epoch) = self.adopted_epoch().filter(|_| !self.held_nothing) {
            self.note(
                "the policy that was found in the kernel stays in force, and nothing else is known of it"
                    .into(),
            );
            let failsafe = self.failsafe()?;
            return Ok(InForce::adopted(failsafe, epoch));
        }
        let other = if had_revision {
            self.older_revision(editor)
        } else {
            self.take_files(editor, Cause::FirstStart)
        };
        match other {
            Some(in_force) => Ok(in_force),
            None => self.failsafe_only(),
        }
    }

    /// Files that differ from the last revision, where the settings want them.
    fn changed_files(&mut self, editor: &mut Editor, revision: Option<&Revision>) -> Option<InForce> {
        let on_disk = files(&timed::sources(self.settings));
        let wanted =
            self.settings.enforce_changed_files_at_boot && revision.is_some_and(|last| last.files != on_disk);
        if !wanted {
            return None;
        }
        self.take_files(editor, Cause::Start)
    }

    fn take_files(&mut self, editor: &mut Editor, cause: Cause) -> Option<InForce> {
        let occasion = Occasion {
            by: own_actor(),
            cause,
            why: None,
        };
        let prepared = match prepare(timed::sources(self.settings), self.settings) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.failed(cause, &error.failure());
                return None;
            }
        };
        match commit(
            editor,
            self.kernel,
            prepared,
            None,
            &occasion,
            Strictness::Lenient,
        ) {
            Ok(in_force) => {
                self.health.record(&own_actor(), cause, None);
                Some(in_force)
            }
            Err(error) => {
                self.failed(cause, &error.failure());
                None
            }
        }
    }

    fn failed(&mut self, cause: Cause, failure: &Failure) {
        self.note(format!(
            "the policy files cannot be put in force: {}",
            failure.message
        ));
        self.health.record(&own_actor(), cause, Some(failure));
    }

    /// Puts a revision in force as it was; where the kernel still holds it, nothing is loaded.
    fn restore(&mut self, editor: &mut Editor, revision: Revision) -> Option<InForce> {
        let number = revision.manifest.number;
        match self.try_restore(editor, revision) {
            Ok(in_force) => Some(in_force),
            Err(error) => {
                self.note(format!("revision {number} cannot be put in force: {error}"));
                None
            }
        }
    }

    fn try_restore(&mut self, editor: &mut Editor, revision: Revision) -> Result<InForce, RestoreError> {
        let prepared = prepare(sources_of(&revision.files), self.settings)?;
        let names: Vec<Arc<str>> = prepared
            .policy
            .rules
            .iter()
            .map(|rule| rule.name.clone())
            .collect();
        let numbering = editor.counters.assign(&names).map_err(CommitError::from)?;
        let epoch = match self
            .kernel
            .adopt(self.adoption, &prepared, &numbering)
            .map_err(CommitError::from)?
        {
            Some(epoch) => {
                tracing::info!(
                    revision = revision.manifest.number,
                    "adopted the revision that the kernel enforces"
                );
                epoch
            }
            None => self.load(&prepared, &numbering, &revision.manifest)?,
        };
        let hash = prepared.image.hash().to_string();
        if hash != revision.manifest.policy_hash {
            self.note(format!(
                "revision {} compiles differently than when it was confirmed: the agent or its settings have changed",
                revision.manifest.number
            ));
        }
        Ok(InForce::new(
            Enforcing::Policy,
            prepared,
            numbering.numbers,
            epoch,
            Some(revision.manifest),
            CounterUse::from(&editor.counters),
        ))
    }

    fn load(
        &mut self,
        prepared: &Prepared,
        numbering: &Numbering,
        manifest: &Manifest,
    ) -> Result<u32, CommitError> {
        let switched = self
            .kernel
            .enforce(prepared, numbering, Strictness::Lenient, Lasting::ForGood)?;
        if self.adoption.adopted {
            self.note(format!(
                "the kernel did not enforce revision {}; it was loaded again",
                manifest.number
            ));
        }
        Ok(switched.epoch)
    }

    /// An agent that died between a switch and its end has left them.
    fn detach_unwanted(&mut self) {
        match self.kernel.detach_unwanted() {
            Ok(detached) if detached.is_empty() => {}
            Ok(detached) => self.note(format!("not filtered any more: {}", detached.join(", "))),
            Err(error) => self.note(format!(
                "an interface that the policy does not name stays filtered: {error}"
            )),
        }
    }

    fn older_revision(&mut self, editor: &mut Editor) -> Option<InForce> {
        let newest = editor.revisions.current();
        let numbers = editor.revisions.numbers().unwrap_or_default();
        let older = numbers.into_iter().rev().filter(|number| Some(*number) != newest);
        for number in older.collect::<Vec<_>>() {
            let Ok(revision) = editor.revisions.read(number) else {
                continue;
            };
            if let Some(in_force) = self.restore(editor, revision) {
                return Some(in_force);
            }
        }
        None
    }

    fn failsafe_only(&mut self) -> Result<InForce, StartError> {
        let prepared = self.failsafe()?;
        let numbering = Numbering {
            numbers: Vec::new(),
            to_reset: Vec::new(),
        };
        let switched = self
            .kernel
            .enforce(&prepared, &numbering, Strictness::Lenient, Lasting::ForGood)
            .map_err(|error| StartError::Nothing(error.to_string()))?;
        self.note("there is no policy that could be used: everything but the failsafe is dropped; `fwctl reload` puts policy files in force".into());
        Ok(InForce::new(
            Enforcing::FailsafeOnly,
            prepared,
            Vec::new(),
            switched.epoch,
            None,
            CounterUse::default(),
        ))
    }

    /// Where the state directory cannot be used the agent ends, but must not leave the host open.
    fn close_down(&mut self) {
        // Nobody could get in to mend it.
        if self.settings.failsafe.management_sources.is_empty() {
            tracing::error!("what was in force before stays in force, if anything was");
            return;
        }
        if self.adopted_epoch().is_none()
            && let Err(error) = self.failsafe_only()
        {
            tracing::error!(%error, "the host is not filtered");
        }
    }

    fn failsafe(&self) -> Result<Prepared, StartError> {
        prepare_failsafe(self.settings).map_err(|error| StartError::Nothing(error.to_string()))
    }

    /// The judgement of the policy that the kernel enforces already, if it is as it was loaded.
    pub(super) fn adopted_epoch(&self) -> Option<u32> {
        let cell = self.kernel.dataplane.cell().ok()?;
        let mut slots = self.adoption.slots.iter();
        let slot = slots.find(|slot| slot.intact && slot.status.slot == cell.slot)?;
        Some(slot.status.epoch)
    }
}

/// Why a revision could not be put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestoreError {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Enforce(#[from] EnforceError),
}

fn describe(repair: &Repair) -> String {
    match repair {
        Repair::Reattached { interface } => format!("{interface} was not filtered any more; attached again"),
        Repair::Forgotten { interface } => format!("{interface} is gone; its traces were removed"),
        Repair::Registered { interface } => {
            format!("{interface} was not in the interface table as it should be; mended")
        }
        Repair::SlotPrograms { slot } => format!("the programs of slot {slot} were missing; put back"),
        Repair::ProgramsReplaced => {
            "the programs came from another build and were replaced in place".to_owned()
        }
    }
}

/// The agent itself, for changes that nobody asked for.
pub(super) fn own_actor() -> Actor {
    Actor::new(Uid::current().as_raw(), Some("firewall-agent".to_owned()))
}
