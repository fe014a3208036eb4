//! A candidate beside the policy in force, on live traffic: it is asked, and enforces nothing.
//!
//! What passes are flows, which lie in the tables, also for a while after they have ended. What is dropped the kernel
//! side hands on, by chance and within a rate, whether its rule logs or not.

mod drops;
mod run;
mod runs;
mod seen;
mod tally;

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::spawn_blocking};

use self::{
    drops::Dropped,
    run::{Run, Watched},
    seen::Seen,
    tally::Tally,
};
use super::{
    agent::Agent,
    candidate::candidate,
    judgement::Judgement,
    prepare::{PrepareError, Prepared, prepare},
};
use crate::{
    compile::compile,
    control::{
        StreamReceiver,
        protocol::{Failure, FailureKind, Response, Shadow, ShadowProgress, ShadowReport},
    },
    state::Actor,
};

pub(super) use drops::DroppedPacket;
pub(crate) use runs::ShadowRun;

/// The longest run; who watches for longer runs it again.
const LONGEST: Duration = Duration::from_hours(1);

/// Most dropped packets in a second.
const MOST_PER_SECOND: u32 = 10_000;

/// Answers that wait for the client.
const QUEUE: usize = 4;

impl Agent {
    /// Watches live traffic for a while, and says what another policy would have made of it. To be called within a tokio
    /// runtime, on a thread that may block, unless the kernel is a fake.
    pub fn shadow(&self, by: &Actor, request: &Shadow) -> Result<ShadowReport, Failure> {
        let candidate = self.shadowed(request)?;
        let watching = self.watches.begin_shadow(by, request.seconds)?;
        let run = Run::begin(self, request)?;
        let report = self.judge(&candidate, run.watch(&mut |_| true)?)?;
        drop(watching);
        Ok(report)
    }

    /// The same, with a word every second, until the receiver is dropped. To be called within a tokio runtime, on a
    /// thread that may block.
    pub fn start_shadow(self: Arc<Self>, by: &Actor, request: &Shadow) -> Result<StreamReceiver, Failure> {
        let candidate = self.shadowed(request)?;
        let watching = self.watches.begin_shadow(by, request.seconds)?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let request = request.clone();
        spawn_blocking(move || {
            let mut tell = |progress: ShadowProgress| {
                // Who is slow misses one; the next is as good.
                let _ = sender.try_send(Ok(Response::ShadowProgress(progress)));
                !sender.is_closed()
            };
            let seen = Run::begin(&self, &request).and_then(|run| run.watch(&mut tell));
            let report = seen.and_then(|seen| self.judge(&candidate, seen));
            // Another run may begin when the client hears of the end.
            drop(watching);
            // The client may be gone.
            let _ = sender.blocking_send(report.map(|report| Response::Shadow(Box::new(report))));
        });
        Ok(receiver)
    }

    /// The candidate, if the run is one that can be.
    fn shadowed(&self, request: &Shadow) -> Result<Prepared, Failure> {
        let bad = |message: String| Failure::new(FailureKind::BadRequest, message);
        if !(1..=LONGEST.as_secs()).contains(&request.seconds) {
            return Err(bad(format!(
                "a shadow run lasts for 1 to {} seconds",
                LONGEST.as_secs()
            )));
        }
        if request.every == 0 {
            return Err(bad(
                "one in so many is asked about, and that is at least one".to_owned()
            ));
        }
        if !(1..=MOST_PER_SECOND).contains(&request.per_second) {
            let message = format!("1 to {MOST_PER_SECOND} dropped packets in a second can be looked at");
            return Err(bad(message));
        }
        let (sources, _) = candidate(self.sources_on_disk(), request.files.clone(), &self.settings)?;
        prepare(sources, &self.settings).map_err(PrepareError::failure)
    }

    /// What a candidate makes of what was seen, beside the policy in force.
    fn judge(&self, candidate: &Prepared, watched: Watched) -> Result<ShadowReport, Failure> {
        let failed = |error: String| {
            let message = format!("what was seen cannot be judged: {error}");
            Failure::new(FailureKind::Failed, message)
        };
        let Watched {
            seconds,
            seen,
            dropped,
            opened,
            mut drops,
        } = watched;
        let before = self.in_force();
        let image = compile(&before.policy).map_err(|error| failed(error.to_string()))?;
        let interfaces = self.interface_names()?;
        let remotes = remotes(&seen, &dropped);
        let remaining = self.remaining()?;
        let judgement = |policy, image| {
            Judgement::new(policy, image, &interfaces, remotes.iter().copied(), &|term| {
                remaining.has_ended(term)
            })
            .map_err(|error| failed(error.to_string()))
        };
        let mut now = judgement(&before.policy, &image)?;
        let mut then = judgement(&candidate.policy, &candidate.image)?;
        let mut tally = Tally::default();
        for connection in seen.connections() {
            tally.passing(connection, &now.ask(connection), &then.ask(connection));
        }
        for (packet, sample) in dropped.packets() {
            sample.judged(packet, |frame, link| {
                let answers =
                    [&mut now, &mut then].map(|judgement| judgement.ask_packet(packet, frame, link));
                tally.dropped(packet, sample.count, &answers[0], &answers[1]);
            });
        }
        drops.unusable = dropped.unusable;
        let clean = tally.is_clean();
        self.remember_shadow(ShadowRun::new(candidate, &before, clean));
        let (rules, kept_out, let_in) = tally.told();
        Ok(ShadowReport {
            seconds,
            passed: seen.asked(),
            ended: seen.ended,
            dropped: dropped.len(),
            left_out: seen.left_out(),
            opened,
            drops,
            clean,
            rules,
            kept_out,
            let_in,
        })
    }
}

fn remotes(seen: &Seen, dropped: &Dropped) -> Vec<IpAddr> {
    let passing = seen.connections().map(|connection| connection.remote.ip());
    let dropped = dropped.packets().map(|(packet, _)| packet.remote());
    passing.chain(dropped).collect()
}
