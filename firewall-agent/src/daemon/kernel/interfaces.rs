//! The interfaces that a policy filters: which it names, what has to be in the kernel before one is attached, and which
//! could not be.

use firewall_common::cell::reached;
use globset::{Glob, GlobSet, GlobSetBuilder};

use super::{EnforceError, Enforced, Kernel};
use crate::{
    control::protocol::InterfaceFailure,
    daemon::{chain::chain, takeover},
    dataplane::{AttachMode, Dataplane, DataplaneError, Link, Reconciled, Wanted, reconcile},
    policy::model::{Action, Direction, Term, ValidPolicy},
    settings::AttachChoice,
};

impl Kernel {
    /// Until the switch, packets on interfaces that were attached for the new policy were judged by the former one,
    /// which may have ended connections that the new one allows.
    pub(super) fn take_over_again(&mut self, changes: &Reconciled) -> Result<(), EnforceError> {
        let Some(enforced) = &self.enforced else {
            return Ok(());
        };
        for attached in &changes.attached {
            enforced.take_over(&mut *self.dataplane, &attached.name, attached.index)?;
        }
        Ok(())
    }

    /// Detaches the interfaces that the policy in force does not name any more. To be called once a change is final.
    pub(in crate::daemon) fn detach_unwanted(&mut self) -> Result<Vec<String>, EnforceError> {
        let Some(enforced) = &self.enforced else {
            return Ok(Vec::new());
        };
        let attached = self.dataplane.interfaces();
        let unwanted = attached
            .into_iter()
            .filter(|one| !enforced.globs.is_match(&one.name));
        let names: Vec<String> = unwanted.map(|one| one.name).collect();
        for name in &names {
            self.dataplane.detach(name)?;
        }
        Ok(names)
    }

    /// Attaches wanted interfaces that have appeared, and forgets those that are gone.
    pub(in crate::daemon) fn follow_network(&mut self) -> Result<Reconciled, EnforceError> {
        self.dataplane.sync_local_addresses()?;
        let Some(mut enforced) = self.enforced.take() else {
            return Ok(Reconciled::default());
        };
        let changes = self.attach_to(&mut enforced);
        self.enforced = Some(enforced);
        let changes = changes?;
        self.failures = failures(&changes);
        Ok(changes)
    }

    /// A slip in a pattern must not open the host.
    pub(super) fn refuse_no_interface(&self, named: &[String]) -> Result<(), EnforceError> {
        let globs = glob_set(named)?;
        let links = self.dataplane.links()?;
        let there = links.into_iter().filter(|link| !link.loopback);
        let there: Vec<String> = there.map(|link| link.name).collect();
        if self.dataplane.interfaces().is_empty() || there.iter().any(|name| globs.is_match(name)) {
            return Ok(());
        }
        let named = named.iter().map(|glob| format!("\"{glob}\"")).collect();
        Err(EnforceError::NothingFiltered { there, named })
    }

    pub(super) fn attach_to(&mut self, enforced: &mut Enforced) -> Result<Reconciled, EnforceError> {
        let mut attachment = Attachment {
            enforced,
            others: &mut self.others,
            choices: &self.attach,
        };
        Ok(reconcile(&mut *self.dataplane, &mut attachment)?)
    }

    /// Failures that are not there already.
    pub(super) fn new_failures(&self, changes: &Reconciled) -> Vec<InterfaceFailure> {
        let is_known = |name: &str| self.failures.iter().any(|before| before.name == name);
        let now = failures(changes).into_iter();
        now.filter(|failure| !is_known(&failure.name)).collect()
    }
}

impl Enforced {
    /// Writes the bit vectors of an interface into the image.
    fn name_interface(
        &mut self,
        dataplane: &mut dyn Dataplane,
        link: &Link,
        slot: u8,
    ) -> Result<(), DataplaneError> {
        // The dataplane gives out the slots of the image only.
        let patch = self
            .live
            .interface_patch(slot, Some(&link.name))
            .unwrap_or_default();
        if !patch.is_empty() {
            dataplane.patch_image(self.slot, &patch)?;
            self.live.apply(&patch);
        }
        Ok(())
    }

    /// Enters the open connections of an interface: before it is attached, so that none is cut, and again afterwards,
    /// for those that were opened meanwhile.
    fn take_over(
        &self,
        dataplane: &mut dyn Dataplane,
        interface: &str,
        index: u32,
    ) -> Result<(), DataplaneError> {
        let clock = dataplane.clock()?;
        let end = |term: Term| {
            let ticks = self.ends.get(&term).copied();
            ticks.filter(|ticks| !reached(clock.now_ticks, *ticks))
        };
        let takeover = dataplane.take_over(self.slot, Some(&[index]), &mut |socket| {
            takeover::judge(&self.policy, &self.numbers, &end, socket)
        })?;
        if takeover.seen > 0 {
            tracing::info!(
                interface,
                seen = takeover.seen,
                entered = takeover.entered,
                known = takeover.known,
                denied = takeover.denied,
                refused = takeover.refused,
                "took over the open connections"
            );
        }
        Ok(())
    }
}

/// Whether a policy goes by VLAN tags, or answers packets that may have one: a rule names VLANs, or something rejects
/// what comes in.
pub(in crate::daemon) fn needs_vlan_tags(policy: &ValidPolicy) -> bool {
    let rejects =
        |direction: Direction, action: Action| direction != Direction::Out && action == Action::Reject;
    let defaults = &policy.settings.defaults;
    rejects(Direction::In, defaults.input)
        || rejects(Direction::Forward, defaults.forward)
        || policy
            .rules
            .iter()
            .any(|rule| rule.matches.vlans.is_some() || rejects(rule.direction, rule.action))
}

/// What [`reconcile`] has to know.
struct Attachment<'a> {
    enforced: &'a mut Enforced,
    others: &'a mut [Enforced],
    choices: &'a [AttachChoice],
}

impl Wanted for Attachment<'_> {
    fn mode(&self, name: &str) -> Option<AttachMode> {
        self.enforced
            .globs
            .is_match(name)
            .then(|| AttachChoice::mode_of(self.choices, name))
    }

    fn needs_vlan_tags(&self) -> bool {
        needs_vlan_tags(&self.enforced.policy)
    }

    fn prepare(
        &mut self,
        dataplane: &mut dyn Dataplane,
        link: &Link,
        slot: u8,
    ) -> Result<(), DataplaneError> {
        self.enforced.name_interface(dataplane, link, slot)?;
        // The kernel side goes back to the fallback by itself, and must find the interface's rules there, too.
        let fallback = dataplane.cell()?.fallback;
        for other in self.others.iter_mut().filter(|other| other.slot == fallback) {
            other.name_interface(dataplane, link, slot)?;
        }
        self.enforced.take_over(dataplane, &link.name, link.index)
    }

    fn attached(&mut self, dataplane: &mut dyn Dataplane, link: &Link) -> Result<(), DataplaneError> {
        self.enforced.take_over(dataplane, &link.name, link.index)
    }
}

pub(super) fn failures(changes: &Reconciled) -> Vec<InterfaceFailure> {
    let failed = changes.failed.iter();
    failed
        .map(|failure| InterfaceFailure {
            name: failure.interface.clone(),
            error: chain(&failure.error),
        })
        .collect()
}

pub(in crate::daemon) fn glob_set(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern)?);
    }
    set.build()
}
