//! The firewall, natively attached.

use anyhow::{Error, Result};
use firewall_agent::{policy::model::ValidPolicy, settings::AttachMode};
use firewall_tests::worker::Worker;

use super::Peer;
use crate::{firewall::Firewall, wire::Lane};

/// A dataplane on a thread in a lane's namespace.
pub(crate) struct Ours {
    worker: Worker<Result<Firewall, String>>,
    rule: u16,
}

impl Ours {
    /// A policy whose rule of this number drops what is sent.
    pub(crate) fn rules(lane: &Lane, policy: ValidPolicy, rule: u16) -> Result<Self> {
        let entrance = lane.namespace.entrance();
        let interface = lane.interface().to_owned();
        let worker = Worker::spawn(move || {
            entrance.enter();
            attached(&policy, &interface).map_err(|error| format!("{error:#}"))
        });
        worker
            .run(|firewall| firewall.as_ref().map(drop).map_err(Clone::clone))
            .map_err(Error::msg)?;
        Ok(Self { worker, rule })
    }

    /// A policy whose block list drops what is sent.
    pub(crate) fn list(lane: &Lane, policy: ValidPolicy) -> Result<Self> {
        Self::rules(lane, policy, 0)
    }
}

fn attached(policy: &ValidPolicy, interface: &str) -> Result<Firewall> {
    let mut firewall = Firewall::load(policy, 0)?;
    firewall.attach(interface, AttachMode::Native)?;
    Ok(firewall)
}

impl Peer for Ours {
    fn dropped(&self, _: &Lane) -> Result<u64> {
        let rule = self.rule;
        self.worker
            .run(move |firewall| match firewall {
                Ok(firewall) => firewall.matches(rule).map_err(|error| format!("{error:#}")),
                Err(error) => Err(error.clone()),
            })
            .map_err(Error::msg)
    }
}
