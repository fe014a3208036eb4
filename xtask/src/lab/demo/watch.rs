//! Counters of what should decide, read before something is tried and after it.

use anyhow::Result;

use super::report::Decision;
use crate::lab::{agent::Agent, counters::Counters, network::Host};

/// Rules or reasons that should decide, each on one server.
pub(crate) struct Watch {
    watched: Vec<Watched>,
}

struct Watched {
    agent: Agent,
    name: &'static str,
    before: Counters,
}

impl Watch {
    /// Reads the counters for the first time.
    pub(crate) fn start(deciders: &[(Host, &'static str)]) -> Result<Self> {
        let watched = deciders.iter().map(|&(host, name)| {
            let agent = Agent::of(host);
            let before = agent.counters()?;
            Ok(Watched { agent, name, before })
        });
        Ok(Self {
            watched: watched.collect::<Result<_>>()?,
        })
    }

    /// Each should have decided about exactly so many packets.
    pub(crate) fn exactly(self, packets: u64) -> Result<Decision> {
        self.decide(|rise| rise == packets)
    }

    /// Each should have decided about something.
    pub(crate) fn any(self) -> Result<Decision> {
        self.decide(|rise| rise > 0)
    }

    fn decide(self, is_right: impl Fn(u64) -> bool) -> Result<Decision> {
        let mut texts = Vec::new();
        let mut as_expected = true;
        for Watched { agent, name, before } in self.watched {
            let after = agent.counters()?;
            let rise = after.of(name).saturating_sub(before.of(name));
            texts.push(format!("{}: {name} ({rise})", agent.host.name));
            as_expected &= is_right(rise);
        }
        Ok(Decision::new(texts.join(", "), as_expected))
    }
}
