//! Captures of dropped packets, for one client at a time.
//!
//! The kernel side is told of a capture for a few seconds at a time: where the client takes nothing any more, or the
//! agent is dead, it ends by itself.

use std::{mem::take, sync::Arc, time::Duration};

use firewall_common::{
    capture::{CaptureCounts, CapturedHead, SNAP_BYTES, Viewer},
    counters::Hook,
    interface::LinkType,
    reason::Reason,
    verdict::NO_RULE,
};
use nix::net::if_::if_nametoindex;
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::{
    agent::Agent,
    change::no_such_rule,
    event_feed::moment,
    events::{interface_name, verdict},
    in_force::{DIRECTIONS, InForce, default_name, default_number},
    report::{kernel_failure, origin},
    watches::Watching,
};
use crate::{
    control::{
        StreamReceiver, StreamSender,
        protocol::{Capture, CapturedPacket, Captures, Failure, FailureKind, Link, Response},
    },
    dataplane::{CaptureFilter, CaptureReasons, CaptureStream, CapturedFrame},
    state::Actor,
};

/// How long the kernel side goes on without the agent.
const LEASE: Duration = Duration::from_secs(10);

/// How often a client hears something, and the lease is drawn out.
const PULSE: Duration = Duration::from_secs(1);

/// The longest capture that says how long it is to be.
const LONGEST: Duration = Duration::from_hours(24);

/// Packets in one reply.
const BATCH: usize = 128;

/// Replies that wait for the client.
const QUEUE: usize = 4;

/// Most packets that are wanted in a second.
const MOST_PER_SECOND: u32 = 10_000;

/// Where a tag stands in an Ethernet frame.
const TAG_OFFSET: usize = 12;
/// Its bytes.
const TAG_BYTES: u32 = 4;

impl Agent {
    /// Dropped packets from now on, until the receiver is dropped or there are to be no more. To be called within a
    /// tokio runtime.
    pub fn start_capture(self: Arc<Self>, by: &Actor, wanted: &Capture) -> Result<StreamReceiver, Failure> {
        let filter = filter(wanted, &self.in_force())?;
        let time = time(wanted)?;
        let watching = self.watches.begin_capture(by, wanted)?;
        let (stream, before) = {
            let mut kernel = self.kernel();
            let before = kernel.dataplane.capture_counts(Viewer::Capture);
            let before = before.map_err(|error| kernel_failure(&error))?;
            let lease = time.map_or(LEASE, |time| time.min(LEASE));
            let stream = kernel.dataplane.start_capture(Viewer::Capture, &filter, lease);
            (stream.map_err(|error| kernel_failure(&error))?, before)
        };
        tracing::info!(by = by.describe(), wanted = ?wanted, "dropped packets are captured");
        let (sender, receiver) = mpsc::channel(QUEUE);
        let session = Session {
            end: time.map(|time| Instant::now() + time),
            left: wanted.count.unwrap_or(u64::MAX),
            missing: (0, 0),
            extended: Instant::now(),
            paused: Duration::ZERO,
            agent: self,
            stream,
            before,
            _watching: watching,
        };
        tokio::spawn(session.run(sender));
        Ok(receiver)
    }

    fn extend_capture(&self, time: Duration, before: CaptureCounts) -> Option<(u64, u64)> {
        let mut kernel = self.kernel();
        let counts = kernel
            .dataplane
            .extend_capture(Viewer::Capture, time)
            .and_then(|()| kernel.dataplane.capture_counts(Viewer::Capture));
        match counts {
            Ok(counts) => Some((
                counts.limited.saturating_sub(before.limited),
                counts.lost.saturating_sub(before.lost),
            )),
            Err(error) => {
                tracing::warn!(%error, "a capture cannot go on");
                None
            }
        }
    }

    fn end_capture(&self) {
        if let Err(error) = self.kernel().dataplane.end_capture(Viewer::Capture) {
            tracing::warn!(%error, "a capture could not be ended; it ends by itself");
        }
    }
}

/// A capture under way.
struct Session {
    agent: Arc<Agent>,
    stream: CaptureStream,
    before: CaptureCounts,
    end: Option<Instant>,
    /// Packets that are still wanted.
    left: u64,
    /// Packets over the rate, and lost ones, so far.
    missing: (u64, u64),
    /// When the kernel side was last told to go on.
    extended: Instant,
    /// For how long it did not go on, since the client took nothing.
    paused: Duration,
    _watching: Watching,
}

impl Session {
    async fn run(mut self, sender: StreamSender) {
        // The first reply says that the capture is on.
        let mut batch = Captures::default();
        let last = loop {
            if sender
                .send(Ok(Response::Captures(take(&mut batch))))
                .await
                .is_err()
            {
                break None;
            }
            let next = tokio::select! {
                next = self.next() => next,
                () = sender.closed() => None,
            };
            match next {
                Some(next) if !next.ended => batch = next,
                last => break last,
            }
        };
        let agent = self.agent.clone();
        // It is one until the kernel side knows, so that no other capture is ended, and free when the client
        // hears of the end.
        let _ = spawn_blocking(move || agent.end_capture()).await;
        drop(self);
        tracing::info!("the capture has ended");
        if let Some(last) = last {
            // It may have gone meanwhile.
            let _ = sender.send(Ok(Response::Captures(last))).await;
        }
    }

    /// What comes next, at the latest after a pulse. `None` where nothing can come any more.
    async fn next(&mut self) -> Option<Captures> {
        let mut frames = Vec::new();
        let now = Instant::now();
        let pulse = self.end.map_or(now + PULSE, |end| end.min(now + PULSE));
        let read = timeout_at(pulse, self.stream.read(&mut frames, BATCH)).await;
        if let Ok(Err(error)) = read {
            tracing::error!(%error, "captured packets cannot be read");
            return None;
        }
        let is_over = self.end.is_some_and(|end| Instant::now() >= end) && frames.is_empty();
        if self.extended.elapsed() >= PULSE {
            self.extend().await?;
        }
        let in_force = self.agent.in_force();
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let packets: Vec<_> = frames
            .into_iter()
            .take(wanted)
            .map(|frame| packet(frame, &in_force))
            .collect();
        self.left -= packets.len() as u64;
        let ended = is_over || self.left == 0;
        if ended {
            self.extend().await?;
        }
        let (limited, lost) = self.missing;
        Some(Captures {
            packets,
            limited,
            lost,
            paused_seconds: self.paused.as_secs(),
            ended,
        })
    }

    /// Has the kernel side go on for a while, and asks what is missing.
    async fn extend(&mut self) -> Option<()> {
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        let lease = self.end.map_or(LEASE, |end| left(end).min(LEASE));
        let (agent, before) = (self.agent.clone(), self.before);
        let counted = spawn_blocking(move || agent.extend_capture(lease, before)).await;
        self.missing = counted.ok().flatten()?;
        self.paused += self.extended.elapsed().saturating_sub(LEASE);
        self.extended = Instant::now();
        Some(())
    }
}

fn time(wanted: &Capture) -> Result<Option<Duration>, Failure> {
    let Some(seconds) = wanted.seconds else {
        return Ok(None);
    };
    let time = Duration::from_secs(seconds);
    if time.is_zero() || time > LONGEST {
        let message = format!("a capture lasts for 1 to {} seconds", LONGEST.as_secs());
        return Err(Failure::new(FailureKind::BadRequest, message));
    }
    Ok(Some(time))
}

fn filter(wanted: &Capture, in_force: &InForce) -> Result<CaptureFilter, Failure> {
    let bad = |message: String| Failure::new(FailureKind::BadRequest, message);
    if wanted.count == Some(0) {
        return Err(bad("a capture of no packets".to_owned()));
    }
    let snap = 1..=SNAP_BYTES;
    if !snap.contains(&wanted.snap_bytes) {
        let message = format!(
            "of each packet {} to {} bytes can be had",
            snap.start(),
            snap.end()
        );
        return Err(bad(message));
    }
    if !(1..=MOST_PER_SECOND).contains(&wanted.per_second) {
        return Err(bad(format!(
            "1 to {MOST_PER_SECOND} packets in a second can be had"
        )));
    }
    let reason = wanted.reason.as_deref().map(|name| {
        let mut all = Reason::ALL.iter().copied();
        all.find(|reason| reason.name() == name)
            .ok_or_else(|| bad(format!("there is no reason `{name}`")))
    });
    let hook = wanted.direction.as_deref().map(|direction| match direction {
        "in" => Ok(Hook::Ingress),
        "out" => Ok(Hook::Egress),
        _ => Err(bad(format!("a direction is `in` or `out`, not `{direction}`"))),
    });
    let interface = wanted.interface.as_deref().map(|name| {
        if_nametoindex(name).map_err(|_| {
            Failure::new(FailureKind::NotFound, format!("there is no interface `{name}`"))
                .hint("`fwctl status` shows the interfaces that are filtered")
        })
    });
    let rules = wanted.rule.as_deref().map(|name| numbers(name, in_force));
    Ok(CaptureFilter {
        rules: rules.transpose()?.unwrap_or_default(),
        reasons: reason
            .transpose()?
            .map_or(CaptureReasons::Any, CaptureReasons::One),
        every: 1,
        interface: interface.transpose()?,
        hook: hook.transpose()?,
        snap_bytes: wanted.snap_bytes,
        per_second: wanted.per_second,
        packets: wanted.count.unwrap_or(u64::MAX),
    })
}

/// The counter numbers of a rule, or of a direction's default.
fn numbers(name: &str, in_force: &InForce) -> Result<Vec<u16>, Failure> {
    if let Some(direction) = DIRECTIONS
        .into_iter()
        .find(|direction| default_name(*direction) == name)
    {
        return Ok(vec![default_number(direction)]);
    }
    let is_it = |rule: &str| rule == name || rule.rsplit_once('/').is_some_and(|(whole, _)| whole == name);
    let numbers: Vec<u16> = in_force
        .rules()
        .filter(|(rule, _)| is_it(&rule.name))
        .map(|(_, number)| number)
        .collect();
    if numbers.is_empty() {
        return Err(no_such_rule(name));
    }
    Ok(numbers)
}

fn packet(frame: CapturedFrame, in_force: &InForce) -> CapturedPacket {
    let head = frame.head;
    let number = (head.cause.rule != NO_RULE).then_some(head.cause.rule);
    let rule = number.and_then(|number| in_force.rules().find(|(_, other)| *other == number));
    let is_ethernet = head.link_type == LinkType::Ethernet as u8;
    let (length, bytes) = whole(&head, frame.bytes, is_ethernet);
    CapturedPacket {
        at: moment(head.time_nanoseconds),
        direction: if head.hook == Hook::Ingress as u8 {
            "in"
        } else {
            "out"
        }
        .to_owned(),
        interface: interface_name(head.interface),
        link: if is_ethernet { Link::Ethernet } else { Link::Ip },
        verdict: verdict(head.cause.verdict).to_owned(),
        reason: Reason::from_number(head.cause.reason)
            .map_or("unknown", Reason::name)
            .to_owned(),
        rule: number.map(|number| in_force.rule_name(number)),
        origin: rule.map(|(rule, _)| origin(rule)),
        length,
        bytes,
    }
}

/// The packet as it would be on the wire: with the tag that the interface puts in.
pub(super) fn whole(head: &CapturedHead, mut bytes: Vec<u8>, is_ethernet: bool) -> (u32, Vec<u8>) {
    if head.tag_protocol == 0 || !is_ethernet || bytes.len() < TAG_OFFSET {
        return (head.length, bytes);
    }
    let tag = [head.tag_protocol.to_be_bytes(), head.tag.to_be_bytes()].concat();
    bytes.splice(TAG_OFFSET..TAG_OFFSET, tag);
    (head.length + TAG_BYTES, bytes)
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    #[test]
    fn a_tag_that_is_beside_the_packet_is_put_in() {
        let head = CapturedHead {
            length: 60,
            tag_protocol: 0x8100,
            tag: 0x6064,
            ..CapturedHead::zeroed()
        };
        let bytes: Vec<u8> = (0..14).collect();
        let (length, tagged) = whole(&head, bytes.clone(), true);
        assert_eq!(length, 64);
        assert_eq!(tagged[10..18], [10, 11, 0x81, 0, 0x60, 0x64, 12, 13]);
        assert_eq!(whole(&head, bytes.clone(), false), (60, bytes.clone()));
        let untagged = CapturedHead {
            tag_protocol: 0,
            ..head
        };
        assert_eq!(whole(&untagged, bytes.clone(), true), (60, bytes));
    }
}
