//! Connections whose verdict a change would change, by service and by who decides.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    describe,
    judgement::{Answer, Connection},
    lockout::who,
};
use crate::control::protocol::FlowGroup;

/// Connections that are named in each group.
const SAMPLES: usize = 3;

/// Groups of connections.
#[derive(Debug, Default)]
pub(super) struct FlowGroups(BTreeMap<(String, String, String), (u64, Vec<String>)>);

impl FlowGroups {
    /// Counts a connection, of which these are the answers of now and then.
    pub(super) fn add(&mut self, connection: &Connection, now: &Answer<'_>, then: &Answer<'_>) {
        let (direction, port) = if connection.opened_by_remote {
            ("in", connection.local.port())
        } else {
            ("out", connection.remote.port())
        };
        let protocol = describe::protocol_name(connection.protocol);
        let service = format!("{direction} {protocol} {port}");
        self.put([service, who(now.by), who(then.by)], || connection.describe());
    }

    /// Counts one of a service, with who decides now and then, and how it is described.
    pub(super) fn put(&mut self, [service, now, then]: [String; 3], describe: impl FnOnce() -> String) {
        let (flows, samples) = self.0.entry((service, now, then)).or_default();
        *flows += 1;
        if samples.len() < SAMPLES {
            samples.push(describe());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The largest first.
    pub(super) fn sorted(self) -> Vec<FlowGroup> {
        let mut groups: Vec<FlowGroup> = self
            .0
            .into_iter()
            .map(|((service, now, then), (flows, samples))| FlowGroup {
                service,
                now,
                then,
                flows,
                samples,
            })
            .collect();
        groups.sort_by_key(|group| Reverse(group.flows));
        groups
    }
}
