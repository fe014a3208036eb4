//! `fwctl capture`: what XDP and tc have dropped, as a capture.

mod file;

use std::{fmt::Write, path::PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use self::file::File;
use super::{
    Agent, CliError,
    events::{Direction, word},
    interrupt::Interrupt,
    output::{Exit, Output, bytes, plural},
    progress::Progress,
    reader::{end_with_reader, tell},
    span::Span,
    words::reason,
};
use crate::control::protocol::{Capture as Wanted, Captures, Request, Response};

const EXAMPLES: &str = "\
Examples:
  fwctl capture --for 30s -o dropped.pcapng              everything that is dropped
  fwctl capture --rule '(default in)' --count 100 -o unknown.pcapng
  fwctl capture --reason tcp-no-state --interface eth0 -o - | tshark -r - -T fields -e ip.src -e frame.comment
  fwctl capture --direction out -o - | tcpdump -n -r -

tcpdump on an interface does not show what XDP has dropped, since it never gets that far. Here each packet comes with a
comment that says why: verdict, reason, and the rule with its file and line. Packets that pass are not in it.

While a capture is on, each packet that is dropped and wanted costs a copy, within --rate; packets over it are counted.
A capture ends with its reader; one that takes nothing for ten seconds misses what comes until it reads on, and is told
for how long. The kernel ends a capture by itself a few seconds after the agent has gone. There is one at a time; a
shadow run may go on beside it. The file is for its owner alone: it shows what packets carry, which readers of the agent
may not see.

Exit codes: 0 done; 1 the agent refused; 2 the command line is wrong, or the file is there already or cannot be written;
3 no agent, or it went away; 4 not allowed";

/// Writes dropped packets to a file, each with the rule and the reason.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Capture {
    /// The rule that decides, or a default such as `(default in)`.
    #[arg(long, conflicts_with = "reason")]
    rule: Option<String>,
    /// The reason, as `fwctl counters` shows it.
    #[arg(long, value_parser = reason)]
    reason: Option<String>,
    /// The interface.
    #[arg(long, short)]
    interface: Option<String>,
    /// Which way they go.
    #[arg(long, value_enum)]
    direction: Option<Direction>,
    /// End after so many packets.
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long; until Ctrl-C without it.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Span>,
    /// Bytes of each packet, at most 2048.
    #[arg(long, short, value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=2048))]
    snap_length: u32,
    /// Packets in a second, at most 10000.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// End when the file has so many MiB.
    #[arg(long, value_name = "MIB", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    max_size: u32,
    /// The file, which must not be there yet; `-` is standard output.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// What has come of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Summary {
    /// Packets in the file.
    packets: u64,
    /// Its size.
    bytes: u64,
    /// Packets that were left out for the rate.
    limited: u64,
    /// Packets that were not read in time.
    lost: u64,
    /// Seconds in which nothing was captured, since what was captured before was not taken.
    paused_seconds: u64,
}

impl Capture {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let is_piped = self.output.as_os_str() == "-";
        if is_piped && output.is_json() {
            return Err(CliError::Usage(
                "--json and a capture on standard output do not go together".to_owned(),
            ));
        }
        let (path, limit) = (self.output.clone(), u64::from(self.max_size) << 20);
        let snap_bytes = self.snap_length;
        let interrupt = Interrupt::catch();
        if is_piped {
            end_with_reader();
        }
        let mut batch = batch(agent.ask(Request::Capture(self.wanted()))?)?;
        let mut file = File::create(&path, snap_bytes, limit)?;
        let mut progress = Progress::new();
        loop {
            let has_room = file.put(&batch.packets)?;
            let packets = file.packets;
            progress.tell(|| {
                let missing = batch.limited + batch.lost;
                format!("{packets} captured, {missing} left out; Ctrl-C ends")
            });
            if batch.ended || !has_room || interrupt.is_there() {
                break;
            }
            batch = self::batch(agent.next()?)?;
        }
        drop(progress);
        let (packets, limited, lost) = (file.packets, batch.limited, batch.lost);
        let paused_seconds = batch.paused_seconds;
        let summary = Summary {
            bytes: file.finish(limited, lost)?,
            packets,
            limited,
            lost,
            paused_seconds,
        };
        if is_piped {
            tell(&text(&summary));
        } else {
            output.print(&summary, |_, summary| text(summary))?;
        }
        Ok(Exit::Done)
    }

    fn wanted(self) -> Wanted {
        Wanted {
            rule: self.rule,
            reason: self.reason,
            interface: self.interface,
            direction: self.direction.as_ref().and_then(word),
            snap_bytes: self.snap_length,
            per_second: self.rate,
            count: self.count,
            seconds: self.time.map(Span::seconds),
        }
    }
}

fn batch(response: Response) -> Result<Captures, CliError> {
    match response {
        Response::Captures(batch) => Ok(batch),
        _ => Err(CliError::UnexpectedReply),
    }
}

fn text(summary: &Summary) -> String {
    let mut text = format!(
        "{} captured, {}",
        plural(summary.packets, "packet"),
        bytes(summary.bytes)
    );
    // Writing to a string cannot fail.
    if summary.limited > 0 {
        let _ = write!(
            text,
            "; {} left out (see --rate)",
            plural(summary.limited, "packet")
        );
    }
    if summary.lost > 0 {
        let _ = write!(text, "; {} lost", plural(summary.lost, "packet"));
    }
    if summary.paused_seconds > 0 {
        let _ = write!(
            text,
            "; nothing captured for {} s, since nobody took it",
            summary.paused_seconds
        );
    }
    text.push('\n');
    text
}
