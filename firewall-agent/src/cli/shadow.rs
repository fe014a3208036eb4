//! `fwctl shadow`: what a candidate would make of live traffic, without enforcing it.

use std::{fmt::Write, io::ErrorKind, path::PathBuf};

use comfy_table::Cell;

use super::{
    Agent, CliError,
    apply::files,
    output::{Exit, Output, Tone, duration, lines, plural},
    progress::Progress,
    span::Span,
};
use crate::control::protocol::{
    FlowGroup, Request, Response, Shadow as Wanted, ShadowDrops, ShadowProgress, ShadowReport,
};

const EXAMPLES: &str = "\
The agent asks the candidate about connections that pass and about packets that are dropped; packets are judged by the
policy in force as before.

Connections are read out of the flow tables, also those that have ended again meanwhile. Packets that pass without a flow
are not seen: the failsafe's, ARP, neighbour discovery, errors that belong to a flow. Dropped packets are handed on by
the kernel side, whether their rule logs or not, as far as a rule, a default or a block list has dropped them: each of
them, or with --every one in so many by chance, and at most --rate in a second. The report counts what was not looked at.

There is one run at a time; a capture may be on beside it. Exit code 1 where something that passes would have been kept
out, so that `fwctl shadow && fwctl apply` applies after a clean run only.

Examples:
  fwctl shadow new/web.toml --for 60s
  fwctl shadow --for 10m --every 10              a busy host: one connection and one dropped packet in ten
  fwctl shadow --for 30s --json | jq '.rules[] | {rule, origin, newly_let_in, newly_kept_out}'

Exit codes: 0 done, and clean; 1 not clean, or the agent refused; 2 the command line is wrong, or a file cannot be read;
3 no agent, or it went away; 4 not allowed";

/// Watches live traffic for a while and says what another policy would have let in and kept out; enforces nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Shadow {
    /// Files that take the places of the policy files of the same names, or are new; the policy files as they are on
    /// disk where none is named.
    files: Vec<PathBuf>,
    /// How long to watch, at most 1h.
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    time: Span,
    /// Ask about one in so many of the connections and of the dropped packets only.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Look at so many dropped packets in a second, at most 10000.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
}

impl Shadow {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::Shadow(Wanted {
            files: files::read(&self.files)?,
            seconds: self.time.seconds(),
            every: self.every,
            per_second: self.rate,
        });
        let report = report(agent, request)?;
        let exit = if report.clean { Exit::Done } else { Exit::No };
        match output.print(&report, text) {
            // Whoever does not read on still goes by the exit code.
            Err(CliError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(exit),
            printed => printed.map(|()| exit),
        }
    }
}

fn report(agent: &mut Agent, request: Request) -> Result<ShadowReport, CliError> {
    let mut progress = Progress::new();
    let mut response = agent.ask(request)?;
    loop {
        match response {
            Response::Shadow(report) => return Ok(*report),
            Response::ShadowProgress(so_far) => progress.tell(|| told(so_far)),
            _ => return Err(CliError::UnexpectedReply),
        }
        response = agent.next()?;
    }
}

fn told(so_far: ShadowProgress) -> String {
    format!(
        "{} left: {}, {}",
        duration(so_far.seconds_left),
        plural(so_far.passed, "connection"),
        plural(so_far.sampled, "dropped packet")
    )
}

fn text(output: &Output, report: &ShadowReport) -> String {
    let mut table = output.table(&["WOULD DECIDE", ">CONNECTIONS", ">NEWLY LET IN", ">NEWLY KEPT OUT"]);
    for rule in &report.rules {
        table.add_row([
            Cell::new(&rule.decider),
            Cell::new(rule.connections),
            Cell::new(rule.newly_let_in),
            Cell::new(rule.newly_kept_out),
        ]);
    }
    let mut text = lines(&table);
    for (tone, word, groups) in [
        (Tone::Bad, "would keep out", &report.kept_out),
        (Tone::Doubtful, "would let in", &report.let_in),
    ] {
        for group in groups {
            text.push_str(&difference(output, tone, word, group));
        }
    }
    text.push_str(&coverage(report));
    text
}

/// What was looked at, and what was not.
fn coverage(report: &ShadowReport) -> String {
    let (drops, opened) = (&report.drops, &report.opened);
    let mut text = format!(
        "in {} s: asked about {}",
        report.seconds,
        plural(report.passed, "passing connection")
    );
    // Writing to a string cannot fail.
    if report.ended > 0 {
        let _ = write!(text, " ({} of them had ended)", report.ended);
    }
    if report.left_out > 0 {
        let _ = write!(text, ", and not about {} more", report.left_out);
    }
    let _ = write!(
        text,
        "\nrules and defaults let pass {} by their own verdict; {} seen that {} opened meanwhile\n",
        plural(opened.counted, "packet"),
        plural(opened.seen, "flow"),
        if opened.seen == 1 { "was" } else { "were" }
    );
    let _ = writeln!(
        text,
        "{} dropped, {} of them by a rule, a default or a block list: looked at {}{}",
        plural(drops.counted, "packet"),
        drops.decided,
        drops.sampled,
        not_looked_at(drops)
    );
    text
}

fn not_looked_at(drops: &ShadowDrops) -> String {
    let reasons = [
        (drops.skipped, "left out by chance (see --every)"),
        (drops.limited, "over the rate (see --rate)"),
        (drops.lost, "lost"),
        (drops.unusable, "looked at and not asked about"),
    ];
    let mut text = String::new();
    for (count, why) in reasons.into_iter().filter(|(count, _)| *count > 0) {
        // Writing to a string cannot fail.
        let _ = write!(text, "; {count} {why}");
    }
    text
}

fn difference(output: &Output, tone: Tone, word: &str, group: &FlowGroup) -> String {
    format!(
        "{} {} {}: {} → {}; such as {}\n",
        output.paint(tone, word),
        group.flows,
        group.service,
        group.now,
        group.then,
        group.samples.join(", ")
    )
}
