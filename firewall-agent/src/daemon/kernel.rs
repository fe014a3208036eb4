//! The kernel side in the agent's hands: the dataplane, and what it enforces.

mod cell;
mod interfaces;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use firewall_common::cell::{Cell, Mode, reached};
use globset::GlobSet;

use interfaces::failures;
pub(super) use interfaces::{glob_set, needs_vlan_tags};

use super::{chain::chain, prepare::Prepared, report::mode_name};
use crate::{
    compile::{BindError, BoundImage, CompiledImage, LiveImage},
    control::protocol::InterfaceFailure,
    dataplane::{Adoption, Dataplane, DataplaneError, SlotImage},
    failpoint::Step,
    policy::model::{Term, ValidPolicy},
    prefix_set::Change,
    settings::AttachChoice,
    state::{Ends, Numbering, StateError},
};

/// Why a policy could not be put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnforceError {
    /// The kernel refused.
    #[error("{}", chain(.0))]
    Dataplane(#[from] DataplaneError),
    /// The image does not fit the machine.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An interface pattern is none.
    #[error("interface pattern: {0}")]
    Glob(#[from] globset::Error),
    /// What has arrived in the kernel is not what was loaded.
    #[error("the kernel holds another policy in slot {slot} than was loaded into it")]
    ReadBack {
        /// Which slot.
        slot: u8,
    },
    /// The policy names none of the interfaces that there are, and something was filtered before.
    #[error(
        "the policy names none of this host's interfaces ({}), so that nothing would be filtered any more; it says interfaces = [{}]",
        .there.join(", "),
        .named.join(", ")
    )]
    NothingFiltered {
        /// What there is.
        there: Vec<String>,
        /// What the policy names.
        named: Vec<String>,
    },
    /// A change waits for its confirmation.
    #[error("a change waits for its confirmation")]
    ConfirmPending,
    /// A window would end panic or pause, since the kernel side goes back to judging by a policy.
    #[error("the firewall is in mode {mode}, which a change that has to be confirmed would end")]
    Mode {
        /// Which.
        mode: &'static str,
    },
    /// The change could not be noted before it was put in force.
    #[error(transparent)]
    State(#[from] StateError),
    /// Interfaces that cannot be filtered as the policy says.
    #[error("{}", .0.iter().map(|one| format!("{}: {}", one.name, one.error)).collect::<Vec<_>>().join("; "))]
    Interfaces(Vec<InterfaceFailure>),
}

/// How strict a change is about interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// An operator waits for the answer: an interface that cannot be filtered as the policy says stops the change,
    /// unless it could not be filtered before either.
    Strict,
    /// At a start: filter what can be filtered, and report the rest.
    Lenient,
}

/// How long a change holds unless more is said.
pub(super) enum Lasting<'a> {
    ForGood,
    /// Until the kernel side goes back by itself.
    For {
        window: Duration,
        /// Called with the cell before it is stored.
        note: &'a mut dyn FnMut(Cell) -> Result<(), StateError>,
    },
}

/// What comes back unless the change in force is confirmed.
#[derive(Debug)]
struct Fallback {
    cell: Cell,
    enforced: Option<Enforced>,
}

/// What the kernel enforces, as far as it takes to attach further interfaces to it.
#[derive(Debug, Clone)]
struct Enforced {
    policy: Arc<ValidPolicy>,
    numbers: Vec<u16>,
    live: LiveImage,
    slot: u8,
    globs: GlobSet,
    /// When its rules end, in ticks.
    ends: BTreeMap<Term, u32>,
}

/// A switch that can still be taken back.
#[derive(Debug)]
pub(super) struct Switched {
    /// Number of the judgement.
    pub(super) epoch: u32,
    /// What was attached on the way.
    pub(super) attached: Vec<String>,
    previous_cell: Cell,
    previous: Option<Enforced>,
}

/// The dataplane, and what it enforces.
pub(super) struct Kernel {
    pub(super) dataplane: Box<dyn Dataplane>,
    attach: Vec<AttachChoice>,
    enforced: Option<Enforced>,
    /// Only while a change waits for its confirmation.
    fallback: Option<Fallback>,
    /// What other slots hold, as far as this agent has loaded them: one of them may be the fallback.
    others: Vec<Enforced>,
    pub(super) failures: Vec<InterfaceFailure>,
    /// Panic is on, and the kernel side does not know of it before it has a policy.
    owes_panic: bool,
    /// When rules end.
    pub(super) ends: Ends,
}

impl Kernel {
    pub(super) fn new(dataplane: Box<dyn Dataplane>, attach: Vec<AttachChoice>) -> Self {
        Self {
            dataplane,
            attach,
            enforced: None,
            fallback: None,
            others: Vec::new(),
            failures: Vec::new(),
            owes_panic: false,
            ends: Ends::default(),
        }
    }

    /// Takes over what an earlier agent has loaded, if it is this very policy. Returns the number of its judgement.
    pub(super) fn adopt(
        &mut self,
        adoption: &Adoption,
        prepared: &Prepared,
        numbering: &Numbering,
    ) -> Result<Option<u32>, EnforceError> {
        let slot = self.dataplane.cell()?.slot;
        let adopted = self.adopt_slot(adoption, slot, prepared, numbering)?;
        let Some((enforced, epoch)) = adopted else {
            return Ok(None);
        };
        self.enforced = Some(enforced);
        Ok(Some(epoch))
    }

    /// Takes over a change that waits for its confirmation, if the kernel holds both it and what comes back without
    /// one. Returns the numbers of their judgements.
    pub(super) fn resume(
        &mut self,
        adoption: &Adoption,
        waiting: (&Prepared, &Numbering),
        fallback: (&Prepared, &Numbering),
    ) -> Result<Option<(u32, u32)>, EnforceError> {
        let cell = self.dataplane.cell()?;
        let next = self.adopt_slot(adoption, cell.slot, waiting.0, waiting.1)?;
        let former = self.adopt_slot(adoption, cell.fallback, fallback.0, fallback.1)?;
        let (Some((next, next_epoch)), Some((former, former_epoch))) = (next, former) else {
            return Ok(None);
        };
        self.enforced = Some(next);
        self.others.push(former.clone().without_lists());
        self.fallback = Some(Fallback {
            cell: normal(cell.fallback),
            enforced: Some(former),
        });
        Ok(Some((next_epoch, former_epoch)))
    }

    fn adopt_slot(
        &mut self,
        adoption: &Adoption,
        slot: u8,
        prepared: &Prepared,
        numbering: &Numbering,
    ) -> Result<Option<(Enforced, u32)>, EnforceError> {
        if !numbering.to_reset.is_empty() {
            return Ok(None);
        }
        let attached = self.dataplane.interfaces();
        let interfaces = attached.iter().map(|one| (one.slot, &*one.name));
        let ends = self.ends_of(&prepared.policy)?;
        let bound = bind(&prepared.image, &prepared.policy, numbering, &ends, interfaces)?;
        let digest = bound.digest();
        let mut slots = adoption.slots.iter();
        let same = slots.find(|one| one.intact && one.status.slot == slot && one.status.digest == digest);
        let Some(same) = same else { return Ok(None) };
        if self.dataplane.list_members(slot)? != prepared.policy.listed() {
            return Ok(None);
        }
        let enforced = Enforced::new(prepared, numbering, ends, bound, slot)?;
        Ok(Some((enforced, same.status.epoch)))
    }

    /// Loads a policy, attaches the interfaces that it newly names, and switches. After an error the kernel enforces
    /// what it did before.
    pub(super) fn enforce(
        &mut self,
        prepared: &Prepared,
        numbering: &Numbering,
        strictness: Strictness,
        mut lasting: Lasting<'_>,
    ) -> Result<Switched, EnforceError> {
        let mut previous_cell = self.settled_cell()?;
        if self.owes_panic {
            previous_cell.mode = Mode::Panic;
        }
        self.refuse_pending(previous_cell)?;
        lasting.refuse_mode(previous_cell)?;
        if strictness == Strictness::Strict {
            self.refuse_no_interface(&prepared.policy.settings.interfaces)?;
        }
        let (mut next, epoch) = self.load(prepared, numbering)?;
        Step::SlotLoaded.done();
        self.others.retain(|other| other.slot != next.slot);
        // With nothing attached the switch concerns no packet, and an interface must not be attached to no policy.
        let first = self.dataplane.interfaces().is_empty();
        if first {
            self.switch(next.slot, previous_cell, &mut lasting)?;
        }
        let changes = self.attach_to(&mut next)?;
        let attached: Vec<String> = changes.attached.iter().map(|one| one.name.clone()).collect();
        let new_failures = self.new_failures(&changes);
        let outcome = if strictness == Strictness::Strict && !new_failures.is_empty() {
            Err(EnforceError::Interfaces(new_failures))
        } else if first {
            Ok(())
        } else {
            self.switch(next.slot, previous_cell, &mut lasting)
        };
        let switched = Switched {
            epoch,
            attached,
            previous_cell,
            previous: self.enforced.replace(next),
        };
        if let Err(error) = outcome {
            self.take_back(switched)?;
            return Err(error);
        }
        self.others
            .extend(switched.previous.clone().map(Enforced::without_lists));
        if matches!(lasting, Lasting::For { .. }) {
            self.fallback = Some(Fallback {
                cell: previous_cell,
                enforced: switched.previous.clone(),
            });
        }
        self.failures = failures(&changes);
        self.owes_panic = false;
        if let Err(error) = self.take_over_again(&changes) {
            // The switch is done; who is cut by this connects again.
            tracing::warn!(%error, "open connections could not be looked at after the switch");
        }
        Ok(switched)
    }

    /// The one store that puts a slot in force.
    fn switch(&mut self, slot: u8, before: Cell, lasting: &mut Lasting<'_>) -> Result<(), EnforceError> {
        let cell = match lasting {
            // A pause goes on over a change, and ends with what the change has put in force.
            Lasting::ForGood => Cell {
                slot,
                fallback: slot,
                ..before
            },
            Lasting::For { window, note } => {
                let cell = Cell {
                    slot,
                    fallback: before.slot,
                    mode: Mode::Normal,
                    deadline_ticks: Some(self.dataplane.clock()?.deadline(*window)),
                };
                note(cell)?;
                cell
            }
        };
        self.dataplane.switch(cell)?;
        Step::Switched.done();
        Ok(())
    }

    /// Changes the block lists of what is enforced, which is `policy` from then on; returns the number of the new
    /// judgement.
    pub(super) fn change_lists(
        &mut self,
        policy: &Arc<ValidPolicy>,
        changes: &[Change],
    ) -> Result<u32, EnforceError> {
        self.refuse_pending(self.dataplane.cell()?)?;
        let enforced = self.enforced.as_mut().ok_or(DataplaneError::NotOpen)?;
        let epoch = self.dataplane.change_lists(enforced.slot, changes)?;
        enforced.policy = policy.clone();
        Ok(epoch)
    }

    /// See [`Dataplane::settle_lists`].
    pub(super) fn settle_lists(&mut self) -> Result<u32, EnforceError> {
        let enforced = self.enforced.as_ref().ok_or(DataplaneError::NotOpen)?;
        Ok(self.dataplane.settle_lists(enforced.slot)?)
    }

    /// Enforces again what was enforced before.
    pub(super) fn take_back(&mut self, switched: Switched) -> Result<(), EnforceError> {
        self.enforced = switched.previous;
        let slot = self.enforced.as_ref().map(|enforced| enforced.slot);
        self.others.retain(|other| Some(other.slot) != slot);
        if self.enforced.is_some() {
            self.dataplane.switch(switched.previous_cell)?;
        }
        for interface in &switched.attached {
            self.dataplane.detach(interface)?;
        }
        Ok(())
    }

    /// A switch would forget the fallback that the operator counts on.
    fn refuse_pending(&self, cell: Cell) -> Result<(), EnforceError> {
        let Some(deadline) = cell.deadline_ticks.filter(|_| cell.slot != cell.fallback) else {
            return Ok(());
        };
        if reached(self.dataplane.clock()?.now_ticks, deadline) {
            return Ok(());
        }
        Err(EnforceError::ConfirmPending)
    }

    fn load(&mut self, prepared: &Prepared, numbering: &Numbering) -> Result<(Enforced, u32), EnforceError> {
        let globs = glob_set(&prepared.policy.settings.interfaces)?;
        let mut interfaces: Vec<(u8, String)> = self
            .dataplane
            .interfaces()
            .into_iter()
            .map(|one| (one.slot, one.name))
            .collect();
        for link in self.dataplane.links()? {
            if link.loopback
                || !globs.is_match(&link.name)
                || interfaces.iter().any(|(_, name)| *name == link.name)
            {
                continue;
            }
            // Where there is no place for it, attaching says so.
            if let Ok(slot) = self.dataplane.reserve_interface(&link) {
                interfaces.push((slot, link.name));
            }
        }
        let named = interfaces.iter().map(|(slot, name)| (*slot, &**name));
        let ends = self.ends_of(&prepared.policy)?;
        let bound = bind(&prepared.image, &prepared.policy, numbering, &ends, named)?;
        for &number in &numbering.to_reset {
            self.dataplane.clear_rule_counter(number)?;
        }
        let image = SlotImage {
            blocks: bound.blocks(),
            timers: *prepared.image.timers(),
        };
        let loaded = self.dataplane.load_generation(&image, &[])?;
        if loaded.digest != bound.digest() {
            return Err(EnforceError::ReadBack { slot: loaded.slot });
        }
        self.dataplane
            .load_lists(loaded.slot, &prepared.policy.listed())?;
        Ok((
            Enforced::new(prepared, numbering, ends, bound, loaded.slot)?,
            loaded.epoch,
        ))
    }

    /// When the rules of a policy end, in ticks.
    fn ends_of(&mut self, policy: &ValidPolicy) -> Result<BTreeMap<Term, u32>, DataplaneError> {
        let clock = self.dataplane.clock()?;
        let terms = policy.rules.iter().filter_map(|rule| rule.term);
        Ok(terms.map(|term| (term, self.ends.ticks(term, &clock))).collect())
    }
}

impl Lasting<'_> {
    /// At its deadline the kernel side judges by the policy, whatever the mode was.
    const fn refuse_mode(&self, before: Cell) -> Result<(), EnforceError> {
        match (self, before.mode) {
            (Self::For { .. }, Mode::Panic | Mode::Pause) => Err(EnforceError::Mode {
                mode: mode_name(before.mode),
            }),
            _ => Ok(()),
        }
    }
}

/// A slot in force for good.
const fn normal(slot: u8) -> Cell {
    Cell {
        slot,
        fallback: slot,
        mode: Mode::Normal,
        deadline_ticks: None,
    }
}

impl Enforced {
    fn new(
        prepared: &Prepared,
        numbering: &Numbering,
        ends: BTreeMap<Term, u32>,
        bound: BoundImage,
        slot: u8,
    ) -> Result<Self, EnforceError> {
        Ok(Self {
            globs: glob_set(&prepared.policy.settings.interfaces)?,
            policy: prepared.policy.clone(),
            numbers: numbering.numbers.clone(),
            live: bound.into_live(),
            slot,
            ends,
        })
    }

    /// A fallback's lists are in the kernel, and too large to be kept here as well.
    fn without_lists(mut self) -> Self {
        if !self.policy.lists.is_empty() {
            Arc::make_mut(&mut self.policy).lists.clear();
        }
        self
    }
}

fn bind<'a>(
    image: &CompiledImage,
    policy: &ValidPolicy,
    numbering: &Numbering,
    ends: &BTreeMap<Term, u32>,
    interfaces: impl IntoIterator<Item = (u8, &'a str)>,
) -> Result<BoundImage, BindError> {
    let numbers: std::collections::HashMap<&str, u16> = policy
        .rules
        .iter()
        .map(|rule| &*rule.name)
        .zip(numbering.numbers.iter().copied())
        .collect();
    image.bind_until(&|name| numbers[name], &|term| ends[&term], interfaces)
}
