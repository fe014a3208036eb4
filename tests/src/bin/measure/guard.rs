//! The firewall as the guard of a server.

use anyhow::{Error, Result};
use firewall_agent::{policy::model::ValidPolicy, settings::AttachMode};
use firewall_tests::{netns::NetNs, worker::Worker};

use crate::firewall::Firewall;

/// A dataplane on a thread in a namespace, attached to one of its interfaces.
pub(crate) struct Guard(Worker<Result<Firewall, String>>);

impl Guard {
    /// Puts a policy in force and attaches.
    pub(crate) fn new(
        namespace: &NetNs,
        interface: &str,
        mode: AttachMode,
        policy: ValidPolicy,
    ) -> Result<Self> {
        let (entrance, interface) = (namespace.entrance(), interface.to_owned());
        let worker = Worker::spawn(move || {
            entrance.enter();
            attached(&policy, &interface, mode).map_err(|error| format!("{error:#}"))
        });
        let guard = Self(worker);
        guard.ask(|_| Ok(()))?;
        Ok(guard)
    }

    /// Packets that a rule of the policy has decided itself; rules are numbered from 0.
    pub(crate) fn matches(&self, rule: u16) -> Result<u64> {
        self.ask(move |firewall| firewall.matches(rule))
    }

    /// Packets that the block list has dropped.
    pub(crate) fn listed(&self) -> Result<u64> {
        self.ask(|firewall| firewall.listed())
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Firewall) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.0
            .run(|firewall| match firewall {
                Ok(firewall) => question(firewall).map_err(|error| format!("{error:#}")),
                Err(error) => Err(error.clone()),
            })
            .map_err(Error::msg)
    }
}

fn attached(policy: &ValidPolicy, interface: &str, mode: AttachMode) -> Result<Firewall> {
    let mut firewall = Firewall::load(policy, 0)?;
    firewall.attach(interface, mode)?;
    Ok(firewall)
}
