//! Connections that were there lately: flows that have ended, and what was refused and logged.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use firewall_common::reason::Reason;
use jiff::Timestamp;

use super::{
    agent::Agent,
    describe::protocol_number,
    flow_groups::FlowGroups,
    judgement::{Connection, Judgement},
    report::kernel_failure,
};
use crate::{
    calendar,
    control::protocol::{EventInfo, Failure, RecentFlows},
};

/// How long ago the last packet of a flow may have come, and a packet may have been refused.
const WITHIN: Duration = Duration::from_mins(10);

/// Most connections that are asked about.
const MOST: usize = 50_000;

/// Groups that are shown.
const MOST_GROUPS: usize = 20;

/// The connection that a dropped packet would have opened, where a policy has decided about it.
pub(super) fn refused(event: &EventInfo) -> Option<Connection> {
    let is_of_policy = |reason: &&Reason| reason.is_of_policy() && reason.name() == event.reason;
    if event.verdict == "pass" || !Reason::ALL.iter().any(|reason| is_of_policy(&reason)) {
        return None;
    }
    let source = SocketAddr::new(event.source?, event.source_port?);
    let destination = SocketAddr::new(event.destination?, event.destination_port?);
    let opened_by_remote = event.direction == "in";
    let (remote, local) = if opened_by_remote {
        (source, destination)
    } else {
        (destination, source)
    };
    Some(Connection {
        protocol: event.protocol.as_deref().and_then(protocol_number)?,
        remote,
        local,
        opened_by_remote,
        interface: Some(event.interface.clone()),
    })
}

/// Whether a packet came within the time that counts. One that is dated after now came before the clock was set back,
/// and may have.
fn came_lately(event: &EventInfo, now: Timestamp) -> bool {
    Duration::try_from(now.duration_since(event.at)).map_or(true, |ago| ago <= WITHIN)
}

impl Agent {
    /// Connections that were there lately and are not any more, each once.
    pub(super) fn recent_connections(&self) -> Result<BTreeSet<Connection>, Failure> {
        let mut recent = BTreeSet::new();
        self.kernel()
            .dataplane
            .visit_ended_flows(WITHIN, &mut |view| {
                recent.insert(Connection::from(view));
                recent.len() < MOST
            })
            .map_err(|error| kernel_failure(&error))?;
        let (events, _) = self.events.watch();
        let now = calendar::now();
        let lately = events.iter().filter(|event| came_lately(event, now));
        recent.extend(lately.filter_map(|event| refused(event)));
        Ok(recent)
    }
}

/// Which of them another policy would decide otherwise, should they come again.
pub(super) fn decided_otherwise(
    recent: &BTreeSet<Connection>,
    now: &mut Judgement<'_>,
    then: &mut Judgement<'_>,
) -> RecentFlows {
    let [mut kept_out, mut let_in] = [FlowGroups::default(), FlowGroups::default()];
    for connection in recent {
        let (today, tomorrow) = (now.ask(connection), then.ask(connection));
        match (today.passes, tomorrow.passes) {
            (true, false) => kept_out.add(connection, &today, &tomorrow),
            (false, true) => let_in.add(connection, &today, &tomorrow),
            _ => {}
        }
    }
    let [kept_out, let_in] = [kept_out, let_in].map(|groups| {
        let mut groups = groups.sorted();
        groups.truncate(MOST_GROUPS);
        groups
    });
    RecentFlows {
        asked: recent.len() as u64,
        kept_out,
        let_in,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::control::protocol;

    fn event(reason: &str, verdict: &str) -> EventInfo {
        EventInfo {
            verdict: verdict.to_owned(),
            reason: reason.to_owned(),
            ..protocol::event::tests::event()
        }
    }

    #[test]
    fn only_drops_that_a_policy_has_decided_are_asked_about() {
        for (reason, verdict) in [
            ("default", "pass"),
            ("spoofed-own", "drop"),
            ("malformed-ip", "drop"),
        ] {
            assert_eq!(refused(&event(reason, verdict)), None, "{reason}");
        }
        let refused = refused(&event("default", "drop")).map(|connection| connection.describe());
        assert_eq!(refused.as_deref(), Some("tcp 192.0.2.1:4711 to 198.51.100.7:22"));
    }

    #[test]
    fn refusals_count_for_as_long_as_flows_do() {
        let event = event("default", "drop");
        let after = |seconds| event.at + SignedDuration::from_secs(seconds);
        assert!(came_lately(&event, after(0)) && came_lately(&event, after(600)));
        assert!(!came_lately(&event, after(601)));
        assert!(came_lately(&event, after(-60)), "the clock was set back");
    }
}
