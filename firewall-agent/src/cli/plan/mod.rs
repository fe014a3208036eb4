//! `fwctl plan`: what a policy would change, before it is put in force.

pub(super) mod difference;

use std::{fmt::Write, path::PathBuf};

use super::{
    Agent, CliError,
    apply::files,
    expect_response,
    output::{Exit, Output, Tone, findings, plural},
};
use crate::control::protocol::{FlowGroup, ListenerChange, ManagedVerdict, Plan as Report, Request};

const EXAMPLES: &str = "\
Flows count that live, and connections that were there within the last ten minutes: ended flows as far as the tables still have them, refused ones as far as they are among the latest 1,000 packets that were logged. Exit code 0 also where something would change; 1 where the policy has errors or would lock somebody out.

Examples:
  fwctl plan                      what the policy files on disk would change
  fwctl plan new/web.toml         the same, with this text in the place of web.toml
  fwctl plan --json | jq .flows_cut";

/// Shows what a policy would change: rules, sets and settings, and which live flows and listening sockets.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Plan {
    /// Files that take the places of the policy files of the same names, or are new.
    files: Vec<PathBuf>,
}

impl Plan {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::Plan {
            files: files::read(&self.files)?,
        };
        let plan = expect_response!(agent, request, Plan);
        output.print(&*plan, text)?;
        Ok(if plan.locks_out { Exit::No } else { Exit::Done })
    }
}

/// What a policy would change.
pub(super) fn text(output: &Output, plan: &Report) -> String {
    let mut text = findings(&plan.warnings);
    text.push_str(&difference::text(output, &plan.difference));
    for one in &plan.managed {
        text.push_str(&managed(output, one));
    }
    for listener in &plan.listeners {
        text.push_str(&listening(output, listener));
    }
    for group in &plan.cut {
        text.push_str(&flows(output, Tone::Bad, "cut", group));
    }
    for (tone, words, groups) in [
        (Tone::Bad, "passed lately, and would not", &plan.recent.kept_out),
        (
            Tone::Doubtful,
            "refused lately, and would pass",
            &plan.recent.let_in,
        ),
    ] {
        for group in groups {
            text.push_str(&flows(output, tone, words, group));
        }
    }
    let asked = if plan.flows_asked < plan.flows {
        format!(" (of {} asked about)", plan.flows_asked)
    } else {
        String::new()
    };
    let cut = format!(
        "{} of {}{asked} would be cut",
        plan.flows_cut,
        plural(plan.flows, "live flow")
    );
    let tone = if plan.flows_cut == 0 {
        Tone::Good
    } else {
        Tone::Bad
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", output.paint(tone, cut));
    if plan.locks_out {
        let said = "`fwctl apply` would refuse it: somebody who manages this host would be cut";
        let _ = writeln!(text, "{}", output.paint(Tone::Bad, said));
    }
    text
}

fn managed(output: &Output, one: &ManagedVerdict) -> String {
    let whose = match &*one.whose {
        "own" => "your own connection",
        "management" => "a management connection",
        _ => "a management source",
    };
    let verdict = match (one.passes_now, one.would_pass) {
        (true, false) => output.paint(Tone::Bad, "would be cut"),
        (_, true) => output.paint(Tone::Good, "passes"),
        (false, false) => output.paint(Tone::Doubtful, "would not pass, and does not now"),
    };
    let why = if one.now == one.then {
        format!("{}, as now", one.then)
    } else {
        format!("{} → {}", one.now, one.then)
    };
    format!("{whose}, {}: {verdict}: {why}\n", one.connection)
}

fn listening(output: &Output, listener: &ListenerChange) -> String {
    let mut text = String::new();
    for (tone, words, whom) in [
        (Tone::Doubtful, "opens to", &listener.opens_to),
        (Tone::Bad, "closes to", &listener.closes_to),
    ] {
        if let Some(whom) = whom {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "listening {}: {} {whom}",
                listener.socket,
                output.paint(tone, words)
            );
        }
    }
    text
}

fn flows(output: &Output, tone: Tone, words: &str, group: &FlowGroup) -> String {
    format!(
        "{} {}: {} → {}; such as {}\n",
        output.paint(tone, words),
        format_args!("{} {}", plural(group.flows, "flow"), group.service),
        group.now,
        group.then,
        group.samples.join(", ")
    )
}
