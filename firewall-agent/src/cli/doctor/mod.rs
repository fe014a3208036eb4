//! `fwctl doctor`: what is not as it should be on this host, and what to do about it.

mod agent;
mod finding;
mod host;
mod tables;

pub(super) use self::finding::Report;
use self::finding::{Finding, Level};
use super::{
    Agent, CliError,
    output::{Exit, Output, Tone, plural},
};
use crate::control::protocol::{Request, Response};

const EXAMPLES: &str = "\
Examples:
  fwctl doctor
  fwctl doctor --all           what is all right, too
  fwctl doctor --json | jq '.findings[] | select(.level == \"problem\")'

Looks at the kernel's features, how interfaces are attached and why, other XDP and tc programs on them, frame sizes,
VLAN offload, the clock, how full tables are, and whether files, agent and kernel say the same.

Exit codes: 0 nothing of weight; 1 a problem or a warning; 2 the command line is wrong; 4 not allowed. An agent that
cannot be reached is a problem, and what can be looked at without it is.";

/// Looks for what is not as it should be, and says what to do about it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Doctor {
    /// Show what is all right, too.
    #[arg(long)]
    all: bool,
}

impl Doctor {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let mut findings = host::findings();
        findings.extend(ask(agent)?);
        findings.sort_by_key(|finding| finding.level);
        let report = Report::new(findings);
        output.print(&report, |output, report| text(output, report, self.all))?;
        Ok(if report.heavy() > 0 { Exit::No } else { Exit::Done })
    }
}

/// What the agent has to say; that it is not there is a finding like any other.
fn ask(agent: &mut Agent) -> Result<Vec<Finding>, CliError> {
    let mut answers = Vec::new();
    for request in [Request::Status {}, Request::Counters {}, Request::Inspect {}] {
        match agent.ask(request) {
            Ok(answer) => answers.push(answer),
            Err(error) if error.exit() == Exit::Denied => return Err(error),
            Err(error) => {
                let mut found = findings_of(&answers);
                found.push(
                    Finding::new("agent", Level::Problem, error.to_string())
                        .advice(error.hint().unwrap_or_default()),
                );
                return Ok(found);
            }
        }
    }
    Ok(findings_of(&answers))
}

fn findings_of(answers: &[Response]) -> Vec<Finding> {
    let mut found = Vec::new();
    for answer in answers {
        match answer {
            Response::Status(status) => {
                found.extend(agent::of_status(status));
                found.extend(tables::of_status(status));
            }
            Response::Counters(counters) => found.extend(tables::of_counters(counters)),
            Response::Inspection(inspection) => found.extend(agent::of_inspection(inspection)),
            _ => {}
        }
    }
    found
}

fn text(output: &Output, report: &Report, all: bool) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        if finding.level == Level::Good && !all {
            continue;
        }
        let (tone, word) = match finding.level {
            Level::Problem => (Tone::Bad, "problem"),
            Level::Warning => (Tone::Doubtful, "warning"),
            Level::Note => (Tone::Faint, "note"),
            Level::Good => (Tone::Good, "good"),
        };
        let word = output.paint(tone, format!("{word:<8}"));
        text.push_str(&format_finding(&word, finding));
    }
    let good = report.findings.len() - report.heavy() - report.notes();
    let summary = [
        plural(report.problems, "problem"),
        plural(report.warnings, "warning"),
        format!("{} all right\n", plural(good, "check")),
    ];
    text.push_str(&summary.join(", "));
    text
}

fn format_finding(word: &str, finding: &Finding) -> String {
    let mut text = format!("{word} {:<10} {}\n", finding.check, finding.text);
    if let Some(advice) = &finding.advice {
        for line in advice.lines() {
            text.push_str("                    -> ");
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
