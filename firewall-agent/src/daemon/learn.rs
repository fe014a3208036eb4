//! What is seen of live traffic, second by second, for `fwctl learn`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use firewall_common::{reason::Reason, wire::protocol};
use tokio::{
    sync::{broadcast::error::TryRecvError, mpsc},
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    agent::Agent, describe::protocol_name, judgement::Connection, report::kernel_failure, watches::Watching,
};
use crate::{
    calendar,
    control::{
        EventReceiver, StreamReceiver, StreamSender,
        protocol::{
            EventInfo, Failure, FailureKind, Learn, Learned, Listening, Response, SeenConnection, WatchKind,
        },
    },
    dataplane::{DataplaneError, FlowView},
    state::Actor,
};

/// How often the flow tables are looked at: a flow lives for seconds at least.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many looks go by until the sockets are listed again.
const LOOKS_PER_LISTING: u32 = 10;

/// The longest watch.
const LONGEST: Duration = Duration::from_hours(24);

/// Most connections that are remembered.
const MOST: usize = 200_000;

/// Answers that wait for the client.
const QUEUE: usize = 4;

impl Agent {
    /// Watches live traffic, until the receiver is dropped or the time is over.
    pub fn start_learning(self: Arc<Self>, by: &Actor, wanted: &Learn) -> Result<StreamReceiver, Failure> {
        let time = wanted.seconds.map(Duration::from_secs);
        if time.is_some_and(|time| time.is_zero() || time > LONGEST) {
            let message = format!("traffic is watched for 1 to {} seconds", LONGEST.as_secs());
            return Err(Failure::new(FailureKind::BadRequest, message));
        }
        let (_, events) = self.events.watch();
        let watching = self.watches.begin(WatchKind::Learn, by, wanted.seconds);
        let mut watch = Watch {
            agent: self,
            events,
            seen: BTreeSet::new(),
            listening: Vec::new(),
            looks: 0,
            left_out: 0,
            events_lost: 0,
            _watching: watching,
        };
        let first = watch.look(false).map_err(|error| kernel_failure(&error))?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(watch.run(first, time.map(|time| Instant::now() + time), sender));
        Ok(receiver)
    }
}

/// A watch under way.
struct Watch {
    agent: Arc<Agent>,
    events: EventReceiver,
    /// Connections that were told of.
    seen: BTreeSet<Connection>,
    /// Sockets that were told of.
    listening: Vec<Listening>,
    looks: u32,
    left_out: u64,
    events_lost: u64,
    _watching: Watching,
}

impl Watch {
    async fn run(mut self, first: Learned, end: Option<Instant>, sender: StreamSender) {
        let mut next = first;
        loop {
            let ended = next.ended;
            if sender.send(Ok(Response::Learned(next))).await.is_err() || ended {
                return;
            }
            let left = end.map_or(INTERVAL, |end| end.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = sleep(left.min(INTERVAL)) => {}
                () = sender.closed() => return,
            }
            let is_over = end.is_some_and(|end| Instant::now() >= end);
            let looked = spawn_blocking(move || {
                let learned = self.look(is_over);
                (self, learned)
            });
            match looked.await {
                Ok((watch, Ok(learned))) => (self, next) = (watch, learned),
                Ok((_, Err(error))) => {
                    tracing::error!(%error, "traffic cannot be watched any more");
                    // The client may be gone.
                    let _ = sender.send(Err(kernel_failure(&error))).await;
                    return;
                }
                Err(error) => return tracing::error!(%error, "traffic cannot be watched any more"),
            }
        }
    }

    fn look(&mut self, ended: bool) -> Result<Learned, DataplaneError> {
        let mut fresh = Fresh::default();
        let agent = self.agent.clone();
        let in_force = agent.in_force();
        let (seen, left_out) = (&mut self.seen, &mut self.left_out);
        agent.kernel().dataplane.visit_flows(&mut |view: &FlowView| {
            let connection = Connection::from(view);
            if seen.contains(&connection) {
                return true;
            }
            if seen.len() >= MOST {
                *left_out += 1;
                return true;
            }
            fresh.pass(&connection, in_force.rule_name(view.flow.rule));
            seen.insert(connection);
            true
        })?;
        loop {
            match self.events.try_recv() {
                Ok(event) => fresh.drop(&event),
                Err(TryRecvError::Lagged(lost)) => self.events_lost += lost,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let is_due = ended || self.looks.is_multiple_of(LOOKS_PER_LISTING);
        self.looks = self.looks.wrapping_add(1);
        Ok(Learned {
            at: calendar::now(),
            connections: fresh.connections(),
            listening: if is_due { self.listening()? } else { None },
            left_out: self.left_out,
            events_lost: self.events_lost,
            ended,
        })
    }

    /// The sockets that listen, where they are others than before.
    fn listening(&mut self) -> Result<Option<Vec<Listening>>, DataplaneError> {
        let listeners = self.agent.kernel().dataplane.listeners()?;
        let mut listening: Vec<Listening> = listeners
            .iter()
            .map(|listener| Listening {
                protocol: protocol_name(listener.protocol),
                address: listener.local.ip(),
                port: listener.local.port(),
            })
            .collect();
        listening.sort();
        listening.dedup();
        if listening == self.listening {
            return Ok(None);
        }
        self.listening.clone_from(&listening);
        Ok(Some(listening))
    }
}

/// What is new, and how often.
#[derive(Debug, Default)]
struct Fresh(BTreeMap<SeenConnection, u64>);

impl Fresh {
    fn pass(&mut self, connection: &Connection, decider: String) {
        let (direction, port) = if connection.opened_by_remote {
            ("in", connection.local.port())
        } else {
            ("out", connection.remote.port())
        };
        self.add(SeenConnection {
            direction: direction.to_owned(),
            protocol: protocol_name(connection.protocol),
            port: has_ports(connection.protocol).then_some(port),
            remote: connection.remote.ip(),
            passed: true,
            by_policy: true,
            icmp: None,
            decider,
            count: 0,
        });
    }

    /// A packet that was logged.
    fn drop(&mut self, event: &EventInfo) {
        if event.verdict == "pass" {
            return;
        }
        let remote = if event.direction == "in" {
            event.source
        } else {
            event.destination
        };
        let (Some(remote), Some(protocol)) = (remote, event.protocol.clone()) else {
            return;
        };
        self.add(SeenConnection {
            direction: event.direction.clone(),
            protocol,
            port: event.destination_port,
            remote,
            passed: false,
            by_policy: [Reason::Rule, Reason::Default]
                .iter()
                .any(|reason| reason.name() == event.reason),
            icmp: event.icmp,
            decider: event.rule.clone().unwrap_or_else(|| event.reason.clone()),
            count: 0,
        });
    }

    fn add(&mut self, connection: SeenConnection) {
        *self.0.entry(connection).or_default() += 1;
    }

    fn connections(self) -> Vec<SeenConnection> {
        let all = self.0.into_iter();
        all.map(|(connection, count)| SeenConnection { count, ..connection })
            .collect()
    }
}

const fn has_ports(number: u8) -> bool {
    matches!(
        number,
        protocol::TCP | protocol::UDP | protocol::SCTP | protocol::UDP_LITE
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn what_is_alike_is_counted() {
        let connection = |port: u16, opened_by_remote| Connection {
            protocol: protocol::TCP,
            remote: SocketAddr::new([192, 0, 2, 1].into(), port),
            local: SocketAddr::new([198, 51, 100, 7].into(), 443),
            opened_by_remote,
            interface: None,
        };
        let mut fresh = Fresh::default();
        fresh.pass(&connection(50_000, true), "site".to_owned());
        fresh.pass(&connection(50_001, true), "site".to_owned());
        fresh.pass(&connection(25, false), "mail".to_owned());
        let told: Vec<_> = fresh
            .connections()
            .into_iter()
            .map(|one| (one.direction, one.port, one.count, one.decider))
            .collect();
        let expected = [("in", 443, 2, "site"), ("out", 25, 1, "mail")];
        assert_eq!(
            told,
            expected.map(|(direction, port, count, decider)| {
                (direction.to_owned(), Some(port), count, decider.to_owned())
            })
        );
    }
}
