//! `fwctl events`: packets that were logged.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use ipnet::IpNet;

use super::{
    Agent, CliError,
    output::{Exit, Output, Tone, plural, write},
    reader::{end_with_reader, tell},
    words::{network, reason},
};
use crate::control::protocol::{EventFilter, EventInfo, Events as Batch, Request, Response};

const EXAMPLES: &str = "\
Examples:
  fwctl events                                  what was logged last
  fwctl events --follow --verdict drop          drops as they come, until Ctrl-C
  fwctl events --follow --address 203.0.113.0/24 --port 443 --json | jq .packet

Which packets are logged is said by the rules (`log = \"5/s\"`); of packets that no rule decides about, up to ten in a
second for each reason to drop. The agent remembers the last 1000. Who reads too slowly loses the oldest events and is
told how many; the agent waits for nobody, and leaves a reader that takes nothing for two minutes. With --follow the
command ends when nobody reads its output any more.

With --json each event is one line; {\"lost\": N} stands where events were lost.

Exit codes: 0 done; 1 the agent refused; 2 the command line is wrong; 3 no agent, or it went away; 4 not allowed";

/// Shows packets that were logged, as they come or those of late.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Events {
    /// Go on until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// So many of the last events first.
    #[arg(
        long,
        short = 'n',
        value_name = "COUNT",
        default_value = "20",
        default_value_if("follow", "true", "0")
    )]
    recent: u32,
    /// End after so many events.
    #[arg(long, value_name = "COUNT", requires = "follow")]
    count: Option<u64>,
    /// The rule that decided, or a default such as `(default in)`.
    #[arg(long)]
    rule: Option<String>,
    /// The reason, as `fwctl counters` shows it.
    #[arg(long, value_parser = reason)]
    reason: Option<String>,
    /// Address or network of either end.
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    address: Option<IpNet>,
    /// Port of either end.
    #[arg(long)]
    port: Option<u16>,
    /// Which way it went.
    #[arg(long, value_enum)]
    direction: Option<Direction>,
    /// What became of it.
    #[arg(long, value_enum)]
    verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Direction {
    /// It came in.
    In,
    /// It went out.
    Out,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verdict {
    /// It passed.
    Pass,
    /// It was dropped.
    Drop,
    /// It was dropped and answered.
    Reject,
}

/// The word that a choice is written as.
pub(super) fn word<T: ValueEnum>(choice: &T) -> Option<String> {
    choice
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
}

impl Events {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let filter = EventFilter {
            rule: self.rule,
            reason: self.reason,
            address: self.address,
            port: self.port,
            direction: self.direction.as_ref().and_then(word),
            verdict: self.verdict.as_ref().and_then(word),
        };
        let request = Request::EventFollow {
            filter,
            recent: self.recent,
        };
        if self.follow {
            end_with_reader();
        }
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut batch = batch(agent.ask(request)?)?;
        // A script counts lines; a person sees none, and wonders.
        if batch.events.is_empty() && !self.follow && io::stdout().is_terminal() {
            tell("no packet that was logged is like that\n");
        }
        loop {
            left = show(output, &batch, left)?;
            if !self.follow || left == 0 {
                return Ok(Exit::Done);
            }
            batch = self::batch(agent.next()?)?;
        }
    }
}

fn batch(response: Response) -> Result<Batch, CliError> {
    match response {
        Response::Events(batch) => Ok(batch),
        _ => Err(CliError::UnexpectedReply),
    }
}

/// Returns how many events are still wanted.
fn show(output: &Output, batch: &Batch, left: u64) -> Result<u64, CliError> {
    let mut text = String::new();
    if batch.lost > 0 {
        if output.is_json() {
            text.push_str(&serde_json::json!({ "lost": batch.lost }).to_string());
        } else {
            let lost = format!(
                "{} lost: they came faster than they were read",
                plural(batch.lost, "event")
            );
            text.push_str(&output.paint(Tone::Doubtful, lost));
        }
        text.push('\n');
    }
    let wanted = usize::try_from(left).unwrap_or(usize::MAX);
    let shown = &batch.events[..batch.events.len().min(wanted)];
    for event in shown {
        let line = if output.is_json() {
            serde_json::to_string(event)?
        } else {
            line(output, event)
        };
        text.push_str(&line);
        text.push('\n');
    }
    if !text.is_empty() {
        write(&text)?;
    }
    Ok(left - shown.len() as u64)
}

/// An event in a line.
pub(super) fn line(output: &Output, event: &EventInfo) -> String {
    let verdict = format!("{:<6}", event.verdict);
    let verdict = match &*event.verdict {
        "pass" => output.paint(Tone::Good, verdict),
        _ => output.paint(Tone::Bad, verdict),
    };
    let cause = match &event.rule {
        Some(rule) => format!("{} {rule}", event.reason),
        None => event.reason.clone(),
    };
    format!(
        "{}  {verdict} {:<3} {:<8} {}  {cause}",
        event.at.strftime("%Y-%m-%d %H:%M:%S%.3f"),
        event.direction,
        event.interface,
        event.packet
    )
}
