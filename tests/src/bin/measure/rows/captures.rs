//! A dropped packet beside whoever looks at what is dropped.

use anyhow::{Context, Result, ensure};
use firewall_agent::dataplane::{CaptureFilter, CaptureReasons};
use firewall_common::{capture::Viewer, reason::Reason, wire::tcp::SYN};
use firewall_tests::{
    frames::{Packet, Segment},
    host::{end, nets},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    Bench,
    firewall::Firewall,
    policies::of_rules,
    report::Report,
    results::{Case, Unit},
    rounds::take_turns,
    shim::{Own, Shim, Target, Way},
};

const ROW: u8 = 15;

/// A rule that drops what is sent, without a word in the log.
const RULE: &str = "[[rule]]\nname = \"no-telnet\"\ndrop = \"tcp/23\"\nfrom = \"any\"\n";

/// Packets that the ring buffer has room for, though nobody reads it: 288 bytes and a head of eight each.
const FIT: u32 = 1700;

/// `XDP_DROP`
const DROP: u32 = 1;

/// Who looks, and for what.
#[derive(Debug, Clone, Copy)]
enum Look {
    Nobody,
    Other,
    OverRate,
    Skipped,
    Short,
    Long,
}

impl Look {
    const ALL: [Self; 6] = [
        Self::Nobody,
        Self::Other,
        Self::OverRate,
        Self::Skipped,
        Self::Short,
        Self::Long,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "dropped by a rule, nobody looks",
            Self::Other => "the same beside a capture of something else",
            Self::OverRate => "the same beside a shadow run, over its rate",
            Self::Skipped => "the same beside a shadow run of one in a million",
            Self::Short => "the same, 64 bytes of it captured",
            Self::Long => "the same, 256 bytes of it captured",
        }
    }

    fn viewer(self) -> Option<(Viewer, CaptureFilter)> {
        let all = CaptureFilter {
            snap_bytes: 64,
            every: 1,
            per_second: u32::MAX,
            packets: u64::MAX,
            ..CaptureFilter::default()
        };
        let policy = CaptureFilter {
            reasons: CaptureReasons::Policy,
            ..all.clone()
        };
        Some(match self {
            Self::Nobody => return None,
            Self::Other => {
                let reasons = CaptureReasons::One(Reason::Banned);
                (Viewer::Capture, CaptureFilter { reasons, ..all })
            }
            Self::OverRate => (
                Viewer::Shadow,
                CaptureFilter {
                    per_second: 0,
                    ..policy
                },
            ),
            Self::Skipped => (
                Viewer::Shadow,
                CaptureFilter {
                    every: 1_000_000,
                    ..policy
                },
            ),
            Self::Short => (Viewer::Capture, all),
            Self::Long => (
                Viewer::Capture,
                CaptureFilter {
                    snap_bytes: 256,
                    ..all
                },
            ),
        })
    }

    /// How many packets make a round.
    const fn packets(self, most: u32) -> u32 {
        match self {
            Self::Short | Self::Long => FIT,
            _ => most,
        }
    }
}

/// Each of them in turn.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut shim = Shim::load(&bench.object, 1)?;
    let mut firewall = Firewall::load(&of_rules(RULE)?, 0)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let frame = frame()?;
    let most = bench.effort.packets;
    let turns: Vec<usize> = (0..=Look::ALL.len()).collect();
    let figures = take_turns(bench.effort.rounds, &turns, |turn: usize| {
        let Some(look) = turn.checked_sub(1).map(|place| Look::ALL[place]) else {
            let (_, nanoseconds) = shim.run(Way::Xdp, Target::Own(Own::Empty), &frame, most)?;
            return Ok(nanoseconds);
        };
        one(
            &mut shim,
            &mut firewall,
            &runtime,
            look,
            &frame,
            look.packets(most),
        )
    })?;
    let (floor, looks) = figures.split_first().context("nothing was measured")?;
    for (look, figure) in Look::ALL.into_iter().zip(looks) {
        let case = Case::new(look.name(), Unit::Nanoseconds)
            .ours(figure.net_of(floor))
            .works();
        report.add(ROW, case);
    }
    Ok(())
}

fn one(
    shim: &mut Shim,
    firewall: &mut Firewall,
    runtime: &Runtime,
    look: Look,
    frame: &[u8],
    packets: u32,
) -> Result<f64> {
    let viewer = look.viewer();
    let before = firewall.taken(viewer.as_ref().map(|(viewer, _)| *viewer))?;
    let _stream = match &viewer {
        Some((viewer, filter)) => {
            // A ring buffer is waited for within a runtime.
            let _inside = runtime.enter();
            Some(firewall.look(*viewer, filter)?)
        }
        None => None,
    };
    let (code, nanoseconds) = shim.run(Way::Xdp, Target::Other(&firewall.ingress), frame, packets)?;
    ensure!(code == DROP, "a packet was not dropped: {code}");
    if let Some((viewer, _)) = viewer {
        firewall.look_away(viewer)?;
        let taken = firewall.taken(Some(viewer))? - before;
        let is_taken = matches!(look, Look::Short | Look::Long);
        ensure!(
            !is_taken || taken >= u64::from(packets),
            "{taken} of {packets} packets were captured"
        );
    }
    Ok(nanoseconds)
}

fn frame() -> Result<Vec<u8>> {
    let (client, server) = ("192.0.2.1".parse()?, nets()[0].server);
    let segment = Segment::new(SYN).data(300);
    Ok(Packet::tcp(end(client, 40_000), end(server, 23), &segment).frame())
}
