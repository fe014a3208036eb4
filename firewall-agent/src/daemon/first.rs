//! A host on which no policy was ever in force: nothing is filtered until an operator applies the first one.

use super::{
    agent::Agent,
    commit::CommitError,
    in_force::{CounterUse, InForce},
    kernel::{Lasting, Strictness},
    prepare::{Prepared, prepare_open},
    start::{StartError, Starter},
};
use crate::{
    control::protocol::{Enforcing, Failure, FailureKind},
    settings::Settings,
    state::Numbering,
};

/// For a policy without rules.
const NO_NUMBERS: Numbering = Numbering {
    numbers: Vec::new(),
    to_reset: Vec::new(),
};

/// Whether the first policy waits for an operator. A host that nobody may manage is not closed by a start.
pub(super) fn waits_for_an_operator(settings: &Settings) -> bool {
    !settings.enforce_files_at_first_start || settings.failsafe.management_sources.is_empty()
}

/// What is in force before the first policy.
fn nothing(open: Prepared, epoch: u32) -> InForce {
    InForce::new(
        Enforcing::Nothing,
        open,
        Vec::new(),
        epoch,
        None,
        CounterUse::default(),
    )
}

impl Starter<'_> {
    /// On a host that has no revision. `None` where a policy is in force that somebody must have put there, and where the
    /// files are to be taken.
    pub(super) fn wait_for_the_first(&mut self) -> Result<Option<InForce>, StartError> {
        let open = || prepare_open(self.settings).map_err(|error| StartError::Nothing(error.to_string()));
        let refused = |error: CommitError| StartError::Nothing(error.to_string());
        let prepared = open()?;
        let held = self.kernel.adopt(self.adoption, &prepared, &NO_NUMBERS);
        let held = held.map_err(|error| refused(error.into()))?;
        if !waits_for_an_operator(self.settings) {
            self.held_nothing = held.is_some();
            return Ok(None);
        }
        let epoch = match held {
            Some(epoch) => epoch,
            None if self.adopted_epoch().is_some() => return Ok(None),
            None => {
                self.kernel
                    .enforce(&prepared, &NO_NUMBERS, Strictness::Lenient, Lasting::ForGood)
                    .map_err(|error| refused(error.into()))?
                    .epoch
            }
        };
        tracing::warn!("{}", nothing_filtered(self.settings));
        Ok(Some(nothing(prepared, epoch)))
    }
}

/// What there is to do on a host that has no policy in force yet.
fn nothing_filtered(settings: &Settings) -> &'static str {
    if settings.failsafe.management_sources.is_empty() {
        "nothing is filtered: there was never a policy in force, and the settings name no management source \
         ([failsafe] management_sources), without which none is put in force"
    } else {
        "nothing is filtered: there was never a policy in force; `fwctl apply --confirm 60s` puts the policy files in \
         force"
    }
}

impl Agent {
    /// What the status says of it, as long as that is so.
    pub(super) fn note_of_nothing_filtered(&self, in_force: &InForce) -> Option<String> {
        let is_nothing = in_force.enforcing == Enforcing::Nothing;
        is_nothing.then(|| nothing_filtered(&self.settings).to_owned())
    }

    /// Refuses the first policy of a host that nobody may manage.
    pub(super) fn refuse_first_without_managers(&self) -> Result<(), Failure> {
        let has_managers = !self.settings.failsafe.management_sources.is_empty();
        if has_managers || self.in_force().enforcing != Enforcing::Nothing {
            return Ok(());
        }
        let message =
            "the settings name no management source, so that one slip in a policy could shut everybody out";
        Err(Failure::new(FailureKind::Conflict, message).hint(
            "say in agent.toml from where this host is managed ([failsafe] management_sources), run `systemctl restart \
             firewall-agent`, and try again",
        ))
    }

    /// Refuses what would have no effect, or a surprising one, while nothing is filtered.
    pub(super) fn refuse_nothing_filtered(&self) -> Result<(), Failure> {
        if self.in_force().enforcing != Enforcing::Nothing {
            return Ok(());
        }
        let message = "nothing is filtered: no policy was ever put in force";
        Err(Failure::new(FailureKind::Conflict, message)
            .hint("`fwctl apply --confirm 60s` puts the first one in force"))
    }
}
