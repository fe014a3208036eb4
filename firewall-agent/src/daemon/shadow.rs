//! A candidate beside the policy in force, on live traffic: it is asked, and enforces nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use tokio::sync::broadcast::error::TryRecvError;

use super::{
    agent::Agent,
    candidate::candidate,
    flow_groups::FlowGroups,
    judgement::{Answer, Connection, Judgement},
    lockout::who,
    prepare::{PrepareError, prepare},
    recent::refused,
    report::kernel_failure,
    shadow_runs::ShadowRun,
};
use crate::{
    compile::compile,
    control::protocol::{EventInfo, Failure, FailureKind, Shadow, ShadowReport, ShadowRule},
};

/// How often the flow tables are looked at: a flow lives for seconds at least.
const INTERVAL: Duration = Duration::from_millis(500);

/// The longest run; who watches for longer runs it again.
const LONGEST: Duration = Duration::from_secs(90);

/// Most connections that are remembered.
const MOST: usize = 100_000;

/// What has been seen.
#[derive(Debug, Default)]
struct Seen {
    passed: BTreeSet<Connection>,
    dropped: BTreeSet<Connection>,
    events_lost: u64,
    left_out: u64,
    /// Connections until the next one that is asked about.
    skip: u32,
}

impl Agent {
    /// Watches live traffic for a while, and says what another policy would have made of it.
    pub fn shadow(&self, request: Shadow) -> Result<ShadowReport, Failure> {
        let length = Duration::from_secs(request.seconds);
        if length.is_zero() || length > LONGEST || request.every == 0 {
            let message = format!("a shadow run lasts for 1 to {} seconds", LONGEST.as_secs());
            return Err(Failure::new(FailureKind::BadRequest, message));
        }
        let (sources, _) = candidate(self.sources_on_disk(), request.files, &self.settings)?;
        let prepared = prepare(sources, &self.settings).map_err(PrepareError::failure)?;
        let seen = self.watch(length, request.every)?;

        let failed = |error: String| {
            Failure::new(
                FailureKind::Failed,
                format!("what was seen cannot be judged: {error}"),
            )
        };
        let before = self.in_force();
        let image = compile(&before.policy).map_err(|error| failed(error.to_string()))?;
        let interfaces = self.interface_names()?;
        let all = seen.passed.iter().chain(&seen.dropped);
        let remotes: Vec<IpAddr> = all.map(|connection| connection.remote.ip()).collect();
        let remaining = self.remaining()?;
        let judgement = |policy, image| {
            Judgement::new(policy, image, &interfaces, remotes.iter().copied(), &|term| {
                remaining.has_ended(term)
            })
            .map_err(|error| failed(error.to_string()))
        };
        let mut now = judgement(&before.policy, &image)?;
        let mut then = judgement(&prepared.policy, &prepared.image)?;
        let mut tally = Tally::default();
        for connection in seen.passed.iter().chain(&seen.dropped) {
            tally.add(connection, now.ask(connection), then.ask(connection));
        }
        let clean = tally.kept_out.is_empty();
        self.remember_shadow(ShadowRun::new(&prepared, &before, clean));
        Ok(ShadowReport {
            seconds: request.seconds,
            passed: seen.passed.len() as u64,
            dropped: seen.dropped.len() as u64,
            left_out: seen.left_out,
            events_lost: seen.events_lost,
            clean,
            rules: tally.rules.into_values().collect(),
            kept_out: tally.kept_out.sorted(),
            let_in: tally.let_in.sorted(),
        })
    }

    fn watch(&self, length: Duration, every: u32) -> Result<Seen, Failure> {
        let end = Instant::now() + length;
        let (_, mut events) = self.events.watch();
        let mut seen = Seen::default();
        loop {
            let visited = self.kernel().dataplane.visit_flows(&mut |view| {
                seen.pass(Connection::from(view), every);
                true
            });
            visited.map_err(|error| kernel_failure(&error))?;
            loop {
                match events.try_recv() {
                    Ok(event) => seen.drop(&event),
                    Err(TryRecvError::Lagged(lost)) => seen.events_lost += lost,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(seen);
            }
            sleep(left.min(INTERVAL));
        }
    }
}

impl Seen {
    fn pass(&mut self, connection: Connection, every: u32) {
        if self.passed.contains(&connection) {
            return;
        }
        if self.passed.len() >= MOST || self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            self.left_out += 1;
            return;
        }
        self.skip = every - 1;
        self.passed.insert(connection);
    }

    /// A packet that was dropped and logged.
    fn drop(&mut self, event: &EventInfo) {
        let Some(connection) = refused(event) else { return };
        if self.dropped.len() >= MOST {
            self.left_out += 1;
            return;
        }
        self.dropped.insert(connection);
    }
}

/// What the candidate would have made of it all.
#[derive(Debug, Default)]
struct Tally {
    rules: BTreeMap<String, ShadowRule>,
    kept_out: FlowGroups,
    let_in: FlowGroups,
}

impl Tally {
    fn add(&mut self, connection: &Connection, now: Answer<'_>, then: Answer<'_>) {
        let decider = who(then.by);
        let rule = self.rules.entry(decider.clone()).or_insert_with(|| ShadowRule {
            decider: decider.clone(),
            connections: 0,
            newly_let_in: 0,
            newly_kept_out: 0,
        });
        rule.connections += 1;
        let groups = match (now.passes, then.passes) {
            (true, false) => {
                rule.newly_kept_out += 1;
                &mut self.kept_out
            }
            (false, true) => {
                rule.newly_let_in += 1;
                &mut self.let_in
            }
            _ => return,
        };
        groups.add(connection, &now, &then);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use jiff::Timestamp;

    use super::*;

    fn event(reason: &str, verdict: &str) -> EventInfo {
        EventInfo {
            at: Timestamp::UNIX_EPOCH,
            direction: "in".to_owned(),
            interface: "eth0".to_owned(),
            verdict: verdict.to_owned(),
            reason: reason.to_owned(),
            rule: None,
            protocol: Some("tcp".to_owned()),
            source: "192.0.2.1".parse().ok(),
            source_port: Some(4711),
            destination: "198.51.100.7".parse().ok(),
            destination_port: Some(22),
            length: 60,
            packet: String::new(),
        }
    }

    #[test]
    fn only_drops_that_a_policy_has_decided_are_asked_about() {
        let mut seen = Seen::default();
        for (reason, verdict) in [
            ("default", "pass"),
            ("spoofed-own", "drop"),
            ("malformed-ip", "drop"),
        ] {
            seen.drop(&event(reason, verdict));
        }
        assert!(seen.dropped.is_empty());
        for _ in 0..2 {
            seen.drop(&event("default", "drop"));
        }
        let told: Vec<_> = seen.dropped.iter().map(Connection::describe).collect();
        assert_eq!(told, ["tcp 192.0.2.1:4711 to 198.51.100.7:22"], "and each once");
    }

    #[test]
    fn of_many_every_so_many_is_asked_about() {
        let connection = |port: u16| Connection {
            protocol: 6,
            remote: SocketAddr::new([192, 0, 2, 1].into(), port),
            local: SocketAddr::new([198, 51, 100, 7].into(), 22),
            opened_by_remote: true,
            interface: None,
        };
        for (every, expected) in [(1, 10), (3, 4), (100, 1)] {
            let mut seen = Seen::default();
            for port in 0..10 {
                seen.pass(connection(port), every);
            }
            assert_eq!(seen.passed.len(), expected);
            assert_eq!(seen.left_out, 10 - expected as u64);
        }
    }
}
