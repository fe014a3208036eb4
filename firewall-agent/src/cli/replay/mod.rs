//! `fwctl replay`: captured packets, judged by a policy.

mod report;
mod source;
mod totals;

use std::{net::IpAddr, panic::resume_unwind, path::PathBuf, thread, time::Instant};

use clap::ValueEnum;
use ipnet::IpNet;

pub(super) use self::report::Line;
use self::{
    report::{Change, Judgement, Report},
    source::Source,
    totals::Totals,
};
use super::{
    CliError,
    output::{Exit, Output},
    policy_files::PolicyTarget,
    progress::Progress,
    words::network,
};
use crate::{
    engine::Sizes,
    policy::model::{Forwarded, ValidPolicy},
    replay::{
        Captured, Directions, KernelEngine, KernelEngineError, Outcome, Replay, ReplayError, Replayed, read,
    },
    trial::{Subject, Way, verdict_name},
};

const EXAMPLES: &str = "\
Examples:
  fwctl replay web.pcap --policy rules --host web-1 --local 10.77.2.10
  fwctl replay web.pcapng --policy web.toml --direction in --quiet
  fwctl replay web.pcap --diff old/web.toml new/web.toml --local 10.77.2.10
  fwctl replay web.pcap --policy rules --host web-1 --local 10.77.2.10 --engine kernel
  tcpdump -w - -c 1000 -i any | fwctl replay - --policy /etc/firewall-agent/policy --host web-1

The packets are judged by the code that the kernel's programs run, in user space, with the capture's own times: flows
come about, go on and expire as they would have. A capture that says which way packets went (pcapng, `-i any`) needs no
--local. Nothing is sent; no root and no agent are needed. With --engine kernel the programs themselves judge, in
namespaces of their own that end with the command: that needs root, and tells the same, or one of the two is wrong.

With --json each packet is one line, and {\"totals\": …} is the last one.

Exit codes: 0 done; 1 the policy has errors, or with --diff the verdict on some packet changes; 2 the command line is
wrong, or a file cannot be read to its end (the totals are of what could be read); 4 --engine kernel without the right
to load programs";

/// Buckets of each flow table: room for 229,376 flows.
const BUCKETS: u32 = 1 << 15;

/// Where nothing is remembered, a few are enough.
const STATELESS_BUCKETS: u32 = 16;

/// Blocks for the members of block lists: as many as a million random addresses of both families take.
const LIST_BLOCKS: u32 = 1 << 19;

/// Judges the packets of a capture by a policy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayCapture {
    /// A pcap or pcapng file, or `-` for standard input.
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// Policy files, or directories of them.
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "diff")]
    policy: Vec<PathBuf>,
    /// Show the packets on which the verdicts of two policies differ.
    #[arg(long, value_names = ["OLD", "NEW"], num_args = 2, conflicts_with = "policy")]
    diff: Vec<PathBuf>,
    #[command(flatten)]
    target: PolicyTarget,
    /// What judges the packets.
    #[arg(long, value_enum, default_value_t = Engine::Model)]
    engine: Engine,
    /// Which way the packets went.
    #[arg(long, value_enum, default_value_t = Direction::Auto)]
    direction: Direction,
    /// An address or network of the host: packets from it went out, packets to it came in.
    #[arg(long, value_name = "ADDRESS", num_args = 1.., value_parser = network)]
    local: Vec<IpNet>,
    /// The interface of all packets; rules for certain interfaces match on no other.
    #[arg(long, value_name = "NAME")]
    iface: Option<String>,
    /// Judge each packet as the first of its connection: nothing is remembered, a TCP segment is taken for a SYN.
    #[arg(long)]
    stateless: bool,
    /// Show packets with this verdict only.
    #[arg(long, value_enum, value_name = "VERDICT")]
    verdict: Option<Verdict>,
    /// Show the totals only.
    #[arg(long, short)]
    quiet: bool,
}

/// What judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// The code of the kernel's programs, in user space: needs no root.
    Model,
    /// The programs themselves, run by the kernel in namespaces of their own.
    Kernel,
}

/// Which way packets went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// All came in.
    In,
    /// All went out.
    Out,
    /// As the capture says, or by the addresses of the host (--local).
    Auto,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verdict {
    /// It passed.
    Pass,
    /// It was dropped.
    Drop,
    /// It was dropped and answered.
    Reject,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reject => "reject",
        }
    }
}

impl ReplayCapture {
    pub(super) fn run(self, output: &mut Output) -> Result<Exit, CliError> {
        let source = Source::open(&self.capture)?;
        let (files, other) = match self.diff.as_slice() {
            [old, new] => (std::slice::from_ref(old), Some(std::slice::from_ref(new))),
            _ => (self.policy.as_slice(), None),
        };
        let replay = self.replay(files)?;
        let other = other.map(|files| self.replay(files)).transpose()?;
        match self.engine {
            Engine::Model => self.all(source, replay, other, output),
            Engine::Kernel => self.isolated(source, replay, other, output),
        }
    }

    /// Judges all packets by the kernel's programs, on a thread in namespaces of its own.
    fn isolated(
        &self,
        source: Source,
        replay: Replay,
        other: Option<Replay>,
        output: &Output,
    ) -> Result<Exit, CliError> {
        thread::scope(|scope| {
            let work = scope.spawn(|| {
                KernelEngine::isolate().map_err(|error| no_kernel(&error))?;
                let replay = self.by_kernel(replay, 0)?;
                let other = other.map(|other| self.by_kernel(other, 1)).transpose()?;
                self.all(source, replay, other, output)
            });
            work.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    fn by_kernel(&self, replay: Replay, place: u8) -> Result<Replay, CliError> {
        let local: Vec<IpAddr> = self.hosts().collect();
        let engine = KernelEngine::start(replay.subject(), self.sizes(), &local, self.stateless, place);
        Ok(replay.by(engine.map_err(|error| no_kernel(&error))?))
    }

    fn all(
        &self,
        mut source: Source,
        mut replay: Replay,
        mut other: Option<Replay>,
        output: &Output,
    ) -> Result<Exit, CliError> {
        let mut progress = Progress::new();
        let mut report = Report::new(output);
        let mut totals = Totals::default();
        let mut trouble = None;
        let started = Instant::now();
        let position = source.position();
        let ended = read(&mut source, &mut |captured| {
            progress.tell(|| position.text(captured.number));
            let step = match &mut other {
                None => self.one(&mut replay, captured, &mut report, &mut totals),
                Some(other) => self.both(&mut replay, other, captured, &mut report, &mut totals),
            };
            trouble = step.err();
            trouble.is_none()
        });
        drop(progress);
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        totals.is_complete = ended.is_ok();
        totals.seconds = started.elapsed().as_secs_f64();
        if ended.is_ok() || totals.packets > 0 {
            report.totals(&totals, other.is_some())?;
        }
        ended.map_err(|error| CliError::File(format!("{}: {error}", source::name(&self.capture))))?;
        Ok(if totals.changed > 0 { Exit::No } else { Exit::Done })
    }

    fn replay(&self, files: &[PathBuf]) -> Result<Replay, CliError> {
        let policy = self.target.load(files)?;
        let directions = self.directions(&policy);
        let subject = Subject::of_policy(policy, self.iface.as_deref(), self.sizes());
        let mut subject = subject.map_err(|error| CliError::File(error.to_string()))?;
        for host in self.hosts() {
            subject.add_local(host);
        }
        Ok(Replay::new(subject, directions, self.stateless))
    }

    const fn sizes(&self) -> Sizes {
        Sizes {
            buckets: if self.stateless {
                STATELESS_BUCKETS
            } else {
                BUCKETS
            },
            list_blocks: LIST_BLOCKS,
        }
    }

    /// The host's addresses, as far as they are said one by one.
    fn hosts(&self) -> impl Iterator<Item = IpAddr> {
        let networks = self.local.iter();
        networks
            .filter(|network| network.prefix_len() == network.max_prefix_len())
            .map(IpNet::addr)
    }

    fn directions(&self, policy: &ValidPolicy) -> Directions {
        match self.direction {
            Direction::In => Directions::All(Way::In),
            Direction::Out => Directions::All(Way::Out),
            Direction::Auto => Directions::Auto {
                local: self.local.clone(),
                forwards: policy.settings.forwarded != Forwarded::default(),
            },
        }
    }

    fn one(
        &self,
        replay: &mut Replay,
        captured: &Captured<'_>,
        report: &mut Report<'_>,
        totals: &mut Totals,
    ) -> Result<(), CliError> {
        let outcome = judge(replay, captured)?;
        totals.count(&outcome);
        if self.is_shown(&outcome) {
            report.packet(&Judgement::of(&outcome, replay.line().to_string()))?;
        }
        Ok(())
    }

    fn both(
        &self,
        old: &mut Replay,
        new: &mut Replay,
        captured: &Captured<'_>,
        report: &mut Report<'_>,
        totals: &mut Totals,
    ) -> Result<(), CliError> {
        let (before, after) = (judge(old, captured)?, judge(new, captured)?);
        totals.count(&after);
        if verdict_of(&before) == verdict_of(&after) {
            return Ok(());
        }
        totals.count_change(&before, &after);
        if self.is_shown(&after) {
            report.change(&Change::of(&before, &after, new.line().to_string()))?;
        }
        Ok(())
    }

    fn is_shown(&self, outcome: &Outcome) -> bool {
        let wanted = self.verdict.map(Verdict::name);
        !self.quiet && wanted.is_none_or(|wanted| verdict_of(outcome) == Some(wanted))
    }
}

fn judge(replay: &mut Replay, captured: &Captured<'_>) -> Result<Outcome, CliError> {
    replay.packet(captured).map_err(|error| match error {
        ReplayError::NoLocal => CliError::Usage(
            "the capture does not say which way its packets went; name the host's addresses by --local, or say \
             --direction in"
                .to_owned(),
        ),
        ReplayError::Kernel(error) => no_kernel(&error.into()),
    })
}

/// What the kernel has against it.
fn no_kernel(error: &KernelEngineError) -> CliError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    CliError::Kernel(text)
}

/// The word for what became of a packet, where it was judged.
fn verdict_of(outcome: &Outcome) -> Option<&'static str> {
    match &outcome.replayed {
        Replayed::Judged(judged) => Some(verdict_name(judged.verdict)),
        Replayed::Unusable(_) | Replayed::Elsewhere => None,
    }
}
