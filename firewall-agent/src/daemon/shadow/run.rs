//! A run: looks at the flow tables, and the packets that the kernel side hands on meanwhile.

use std::{
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use firewall_common::{
    capture::{CaptureCounts, Viewer},
    counters::{Hook, Outcome},
    interface::INTERFACE_SLOTS,
};

use super::{
    drops::Dropped,
    seen::{Life, Seen},
};
use crate::{
    control::protocol::{Failure, FailureKind, Shadow, ShadowDrops, ShadowOpened, ShadowProgress},
    daemon::{
        agent::Agent,
        in_force::{DIRECTIONS, InForce, default_number},
        judgement::Connection,
        report::kernel_failure,
    },
    dataplane::{CaptureFilter, CaptureReasons, CaptureStream, CounterSnapshot},
    policy::model::{Action, Direction},
};

/// How often the flow tables are looked at, at the most.
const INTERVAL: Duration = Duration::from_millis(500);

/// A look at large tables takes a while, in which changes wait: so many times as long nothing is looked at.
const REST: u32 = 10;

/// How often packets are read: what the ring buffer has room for comes in more time than that.
const TURN: Duration = Duration::from_millis(50);

/// How often the kernel side is told to go on, and the client hears something.
const PULSE: Duration = Duration::from_secs(1);

/// How long the kernel side goes on without the agent.
const LEASE: Duration = Duration::from_secs(10);

/// Bytes of each packet: more than its headers have but in the strangest of packets.
const SNAP_BYTES: u32 = 192;

/// Packets that are read at once.
const BATCH: usize = 4096;

/// A run under way. The kernel side hands on packets until this is dropped.
pub(super) struct Run<'a> {
    agent: &'a Agent,
    every: u32,
    length: Duration,
    stream: CaptureStream,
    before: Before,
}

/// How things were when it began.
struct Before {
    in_force: Arc<InForce>,
    counters: CounterSnapshot,
    counts: CaptureCounts,
    ticks: u32,
}

/// What has come of it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) seconds: u64,
    pub(super) seen: Seen,
    pub(super) dropped: Dropped,
    pub(super) opened: ShadowOpened,
    pub(super) drops: ShadowDrops,
}

impl<'a> Run<'a> {
    /// From now on dropped packets are handed on.
    pub(super) fn begin(agent: &'a Agent, request: &Shadow) -> Result<Self, Failure> {
        let filter = CaptureFilter {
            reasons: CaptureReasons::Policy,
            snap_bytes: SNAP_BYTES,
            every: request.every,
            per_second: request.per_second,
            packets: u64::MAX,
            ..CaptureFilter::default()
        };
        let (in_force, counters) = agent.counted()?;
        let mut kernel = agent.kernel();
        let dataplane = &mut kernel.dataplane;
        let begun = dataplane.clock().and_then(|clock| {
            let counts = dataplane.capture_counts(Viewer::Shadow)?;
            let stream = dataplane.start_capture(Viewer::Shadow, &filter, LEASE)?;
            Ok((clock.now_ticks, counts, stream))
        });
        let (ticks, counts, stream) = begun.map_err(|error| kernel_failure(&error))?;
        drop(kernel);
        Ok(Self {
            agent,
            every: request.every,
            length: Duration::from_secs(request.seconds),
            stream,
            before: Before {
                in_force,
                counters,
                counts,
                ticks,
            },
        })
    }

    /// Watches to the end, or until `tell`, which is called every second, says that nobody waits for it any more.
    pub(super) fn watch(mut self, tell: &mut dyn FnMut(ShadowProgress) -> bool) -> Result<Watched, Failure> {
        let start = Instant::now();
        let attached = self.agent.kernel().dataplane.interfaces().into_iter();
        let mut dropped = Dropped::on(attached.map(|one| (one.index, one.name)));
        let mut seen = Seen::default();
        let (mut look_at, mut pulse_at, mut sampled) = (start, start + PULSE, 0);
        loop {
            let left = self.length.saturating_sub(start.elapsed());
            if Instant::now() >= look_at || left.is_zero() {
                let took = self.look(&mut seen)?;
                look_at = Instant::now() + INTERVAL.max(took * REST);
            }
            sampled += self.read(&mut dropped);
            if left.is_zero() {
                return self.end(seen, dropped);
            }
            if Instant::now() >= pulse_at {
                pulse_at = Instant::now() + PULSE;
                self.go_on()?;
                let progress = ShadowProgress {
                    seconds_left: left.as_secs(),
                    passed: seen.asked() + seen.left_out(),
                    sampled,
                };
                if !tell(progress) {
                    let message = "nobody waits for the report any more";
                    return Err(Failure::new(FailureKind::Failed, message));
                }
            }
            sleep(left.min(TURN));
        }
    }

    /// Looks at both flow tables; returns how long that took.
    fn look(&self, seen: &mut Seen) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let kernel = self.agent.kernel();
        let dataplane = &kernel.dataplane;
        let looked = dataplane.clock().and_then(|clock| {
            let lasted = clock.since(self.before.ticks);
            dataplane.visit_flows(&mut |view| {
                let life = Life {
                    is_live: true,
                    is_new: view.age <= lasted,
                };
                seen.pass(Connection::from(view), life, self.every);
                true
            })?;
            // They lie where they were until their places are needed.
            dataplane.visit_ended_flows(lasted, &mut |view| {
                let life = Life {
                    is_live: false,
                    is_new: view.age <= lasted,
                };
                seen.pass(Connection::from(view), life, self.every);
                true
            })
        });
        looked.map_err(|error| kernel_failure(&error))?;
        Ok(begun.elapsed())
    }

    /// Reads what has been handed on.
    fn read(&mut self, dropped: &mut Dropped) -> u64 {
        let mut frames = Vec::new();
        self.stream.take_ready(&mut frames, BATCH);
        let count = frames.len() as u64;
        for frame in frames {
            dropped.take(frame);
        }
        count
    }

    fn go_on(&self) -> Result<(), Failure> {
        let extended = self
            .agent
            .kernel()
            .dataplane
            .extend_capture(Viewer::Shadow, LEASE);
        extended.map_err(|error| kernel_failure(&error))
    }

    fn end(mut self, seen: Seen, mut dropped: Dropped) -> Result<Watched, Failure> {
        self.agent.end_sampling();
        self.read(&mut dropped);
        let counts = self.agent.kernel().dataplane.capture_counts(Viewer::Shadow);
        let counts = counts.map_err(|error| kernel_failure(&error))?;
        let (_, counters) = self.agent.counted()?;
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let before = &self.before.counts;
        let (sampled, skipped) = (
            since(counts.captured, before.captured),
            since(counts.skipped, before.skipped),
        );
        let (limited, lost) = (
            since(counts.limited, before.limited),
            since(counts.lost, before.lost),
        );
        Ok(Watched {
            seconds: self.length.as_secs(),
            opened: ShadowOpened {
                counted: since(
                    let_in(&self.before.in_force, &counters),
                    let_in(&self.before.in_force, &self.before.counters),
                ),
                seen: seen.opened,
            },
            drops: ShadowDrops {
                counted: since(kept_out(&counters), kept_out(&self.before.counters)),
                decided: sampled + skipped + limited + lost,
                sampled,
                skipped,
                limited,
                lost,
                unusable: 0,
            },
            seen,
            dropped,
        })
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.agent.end_sampling();
    }
}

/// Packets that rules and defaults have let pass by their own verdict.
fn let_in(in_force: &InForce, counters: &CounterSnapshot) -> u64 {
    let defaults = &in_force.policy.settings.defaults;
    let action = |direction| match direction {
        Direction::In => defaults.input,
        Direction::Out => defaults.output,
        Direction::Forward => defaults.forward,
    };
    let defaults = DIRECTIONS.into_iter().filter(|one| action(*one) == Action::Allow);
    let rules = in_force.rules().filter(|(rule, _)| rule.action == Action::Allow);
    let numbers = defaults
        .map(default_number)
        .chain(rules.map(|(_, number)| number));
    numbers.map(|number| counters.rule(number).matches).sum()
}

/// Packets that were dropped on any interface.
fn kept_out(counters: &CounterSnapshot) -> u64 {
    let slots = (0..INTERFACE_SLOTS).filter_map(|slot| u8::try_from(slot).ok());
    let places = slots.flat_map(|slot| {
        let hooks = [Hook::Ingress, Hook::Egress].into_iter();
        hooks.flat_map(move |hook| [Outcome::Dropped, Outcome::Rejected].map(|outcome| (slot, hook, outcome)))
    });
    places
        .map(|(slot, hook, outcome)| counters.interface(slot, hook, outcome).packets)
        .sum()
}
