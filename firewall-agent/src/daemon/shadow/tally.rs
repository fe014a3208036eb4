//! What the candidate would have made of it all.

use std::collections::BTreeMap;

use super::drops::DroppedPacket;
use crate::{
    control::protocol::{FlowGroup, ShadowRule},
    daemon::{
        flow_groups::FlowGroups,
        judgement::{Answer, By, Connection},
        lockout::who,
        report::origin,
    },
};

/// By who would have decided, and what would have been otherwise.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rules: BTreeMap<String, ShadowRule>,
    kept_out: FlowGroups,
    let_in: FlowGroups,
}

impl Tally {
    /// A connection that passes, with the answers of now and then.
    pub(super) fn passing(&mut self, connection: &Connection, now: &Answer<'_>, then: &Answer<'_>) {
        let rule = self.rule(then.by);
        rule.connections += 1;
        match (now.passes, then.passes) {
            (true, false) => {
                rule.newly_kept_out += 1;
                self.kept_out.add(connection, now, then);
            }
            (false, true) => {
                rule.newly_let_in += 1;
                self.let_in.add(connection, now, then);
            }
            _ => {}
        }
    }

    /// Packets that are dropped and alike. Where the policy in force would let them pass by now, since it has changed
    /// meanwhile, nothing is new.
    pub(super) fn dropped(
        &mut self,
        packet: &DroppedPacket,
        count: u64,
        now: &Answer<'_>,
        then: &Answer<'_>,
    ) {
        let rule = self.rule(then.by);
        rule.connections += 1;
        if then.passes && !now.passes {
            rule.newly_let_in += 1;
            rule.packets_let_in += count;
            self.let_in
                .put([packet.service(), who(now.by), who(then.by)], || {
                    packet.describe()
                });
        }
    }

    fn rule(&mut self, by: By<'_>) -> &mut ShadowRule {
        let decider = who(by);
        self.rules.entry(decider.clone()).or_insert_with(|| {
            let rule = match by {
                By::Rule(rule) => Some(rule),
                _ => None,
            };
            ShadowRule {
                decider,
                rule: rule.map(|rule| rule.name.to_string()),
                origin: rule.map(origin),
                connections: 0,
                newly_let_in: 0,
                packets_let_in: 0,
                newly_kept_out: 0,
            }
        })
    }

    /// Whether nothing that passes would have been kept out.
    pub(super) fn is_clean(&self) -> bool {
        self.kept_out.is_empty()
    }

    /// By rule; what would have been kept out, and let in.
    pub(super) fn told(self) -> (Vec<ShadowRule>, Vec<FlowGroup>, Vec<FlowGroup>) {
        (
            self.rules.into_values().collect(),
            self.kept_out.sorted(),
            self.let_in.sorted(),
        )
    }
}
