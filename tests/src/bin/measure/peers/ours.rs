//! The firewall, natively attached to a lane.

use anyhow::Result;
use firewall_agent::{policy::model::ValidPolicy, settings::AttachMode};

use super::Peer;
use crate::{guard::Guard, wire::Lane};

/// A guard of a receiver.
pub(crate) struct Ours {
    guard: Guard,
    /// The rule that drops what is sent; without one the block list does.
    rule: Option<u16>,
}

impl Ours {
    /// A policy whose rule of this number drops what is sent.
    pub(crate) fn rules(lane: &Lane, policy: ValidPolicy, rule: u16) -> Result<Self> {
        Self::new(lane, policy, Some(rule))
    }

    /// A policy whose block list drops what is sent.
    pub(crate) fn list(lane: &Lane, policy: ValidPolicy) -> Result<Self> {
        Self::new(lane, policy, None)
    }

    fn new(lane: &Lane, policy: ValidPolicy, rule: Option<u16>) -> Result<Self> {
        let guard = Guard::new(&lane.namespace, lane.interface(), AttachMode::Native, policy)?;
        Ok(Self { guard, rule })
    }
}

impl Peer for Ours {
    fn dropped(&self, _: &Lane) -> Result<u64> {
        self.rule
            .map_or_else(|| self.guard.listed(), |rule| self.guard.matches(rule))
    }
}
