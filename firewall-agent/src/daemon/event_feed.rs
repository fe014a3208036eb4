//! Log events for those who watch, without waiting for anybody.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use firewall_common::{counters::Hook, event::Event, reason::Reason, verdict::NO_RULE, wire::protocol};
use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};
use tokio::sync::broadcast;

use super::{
    describe::protocol_name,
    events::{PacketLine, address, interface_name, verdict},
    in_force::InForce,
};
use crate::{
    calendar,
    control::protocol::{EventInfo, IcmpMessage},
};

/// Events that a watcher may be behind before it loses the oldest.
const QUEUE: usize = 4096;

/// Events that are remembered for those who come later.
const REMEMBERED: usize = 1000;

/// The way of log events to everybody who watches.
#[derive(Debug)]
pub(crate) struct EventFeed {
    watchers: broadcast::Sender<Arc<EventInfo>>,
    recent: Mutex<VecDeque<Arc<EventInfo>>>,
}

impl EventFeed {
    pub(crate) fn new() -> Self {
        Self {
            watchers: broadcast::Sender::new(QUEUE),
            recent: Mutex::default(),
        }
    }

    /// Hands events on. Whoever is too slow loses the oldest.
    pub(super) fn put(&self, events: &[Event], in_force: &InForce) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let info = Arc::new(info(event, in_force));
            if recent.len() == REMEMBERED {
                recent.pop_front();
            }
            recent.push_back(info.clone());
            // Nobody may be watching.
            let _ = self.watchers.send(info);
        }
    }

    /// What is remembered, and what comes from now on.
    pub(super) fn watch(&self) -> (Vec<Arc<EventInfo>>, broadcast::Receiver<Arc<EventInfo>>) {
        // While the lock is held nothing comes.
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        (recent.iter().cloned().collect(), self.watchers.subscribe())
    }
}

fn info(event: &Event, in_force: &InForce) -> EventInfo {
    let has_ports = matches!(
        event.protocol,
        protocol::TCP | protocol::UDP | protocol::SCTP | protocol::UDP_LITE
    );
    let source = address(event.family, event.source);
    let is_ip = source.is_some();
    let is_icmp = is_ip && matches!(event.protocol, protocol::ICMP | protocol::ICMPV6);
    EventInfo {
        at: moment(event.time_nanoseconds),
        direction: if event.hook == Hook::Ingress as u8 {
            "in"
        } else {
            "out"
        }
        .to_owned(),
        interface: interface_name(event.interface),
        verdict: verdict(event.verdict).to_owned(),
        reason: Reason::from_number(event.reason)
            .map_or("unknown", Reason::name)
            .to_owned(),
        rule: (event.rule != NO_RULE).then(|| in_force.rule_name(event.rule)),
        protocol: is_ip.then(|| protocol_name(event.protocol)),
        source,
        source_port: (is_ip && has_ports).then_some(event.source_port),
        destination: address(event.family, event.destination),
        destination_port: (is_ip && has_ports).then_some(event.destination_port),
        icmp: is_icmp.then(|| {
            let [kind, code] = event.destination_port.to_be_bytes();
            IcmpMessage { kind, code }
        }),
        length: event.length,
        packet: PacketLine(event).to_string(),
    }
}

/// The wall clock's time of a moment on the kernel's monotonic clock.
pub(super) fn moment(nanoseconds: u64) -> Timestamp {
    let now = calendar::now();
    let Ok(clock) = clock_gettime(ClockId::CLOCK_MONOTONIC) else {
        return now;
    };
    let since = Duration::from(clock).saturating_sub(Duration::from_nanos(nanoseconds));
    SignedDuration::try_from(since).map_or(now, |since| now - since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(length: u32) -> Arc<EventInfo> {
        Arc::new(EventInfo {
            at: Timestamp::UNIX_EPOCH,
            direction: "in".to_owned(),
            interface: "eth0".to_owned(),
            verdict: "drop".to_owned(),
            reason: "default".to_owned(),
            rule: None,
            protocol: None,
            source: None,
            source_port: None,
            destination: None,
            destination_port: None,
            icmp: None,
            length,
            packet: String::new(),
        })
    }

    #[tokio::test]
    async fn who_is_too_slow_loses_the_oldest_and_is_told_how_many() {
        let feed = EventFeed::new();
        let (_, mut slow) = feed.watch();
        for length in (0..).take(QUEUE + 3) {
            let _ = feed.watchers.send(event(length));
        }
        assert!(matches!(
            slow.recv().await,
            Err(broadcast::error::RecvError::Lagged(3))
        ));
        assert_eq!(slow.recv().await.map(|event| event.length), Ok(3));
    }
}
