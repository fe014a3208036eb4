//! `fwctl rule show`.

use std::fmt::Write;

use super::list::{ends, table};
use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output, Tone},
    },
    control::protocol::{Request, RuleDetail},
};

/// Shows one rule, as it is written and as it is in force.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl rule show ssh")]
pub(crate) struct Show {
    /// Its name.
    name: String,
}

impl Show {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let detail = expect_response!(agent, Request::RuleShow { name: self.name }, Rule);
        output.print(&detail, text)?;
        Ok(Exit::Done)
    }
}

fn text(output: &Output, detail: &RuleDetail) -> String {
    let mut text = format!("{}\n\n", detail.text);
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:<11} {value}");
        }
    };
    line(
        "interfaces",
        detail.interfaces.as_ref().map(|globs| globs.join(", ")),
    );
    line(
        "log",
        detail
            .log_per_second
            .map(|rate| format!("at most {rate} events in each second")),
    );
    line("timed", ends(detail.until, detail.seconds_left));
    line("owner", detail.owner.clone());
    line("reason", detail.reason.clone());
    line(
        "review",
        detail.review.as_ref().map(|day| review(output, day, detail)),
    );
    if detail.disabled {
        line(
            "disabled",
            Some("switched off; `fwctl rule enable` has it take part again".to_owned()),
        );
        return text;
    }
    text.push_str(&table(output, &detail.rules));
    text
}

fn review(output: &Output, day: &str, detail: &RuleDetail) -> String {
    if detail.review_overdue {
        format!("{day}: {}", output.paint(Tone::Doubtful, "overdue"))
    } else {
        day.to_owned()
    }
}
