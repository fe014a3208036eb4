//! `fwctl flows list`.

use std::fmt::Write;

use super::filter::Filter;
use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output, duration, lines, plural},
    },
    control::protocol::{FlowEnd, Flows, Request},
};

/// Lists live flows.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl flows list --port 443 --state established --limit 20")]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most so many.
    #[arg(long, default_value_t = 1000)]
    limit: u32,
}

impl List {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::FlowList {
            filter: self.filter.into(),
            limit: self.limit,
        };
        let flows = expect_response!(agent, request, Flows);
        output.print(&flows, text)?;
        Ok(Exit::Done)
    }
}

fn text(output: &Output, flows: &Flows) -> String {
    let mut table = output.table(&[
        "PROTO", "DIR", "REMOTE", "LOCAL", "STATE", ">AGE", ">IDLE", ">LEFT", "RULE",
    ]);
    for flow in &flows.flows {
        table.add_row([
            flow.protocol.clone(),
            flow.direction.clone(),
            end(&flow.remote),
            end(&flow.local),
            flow.state.clone(),
            duration(flow.age_seconds),
            duration(flow.idle_seconds),
            duration(flow.remaining_seconds),
            flow.rule.clone(),
        ]);
    }
    let mut text = lines(&table);
    let shown = flows.flows.len() as u64;
    // Writing to a string cannot fail.
    let _ = match flows.total {
        total if total > shown => writeln!(text, "\n{shown} of {total} flows; --limit shows more"),
        total => writeln!(text, "\n{}", plural(total, "flow")),
    };
    text
}

fn end(end: &FlowEnd) -> String {
    match end.port {
        Some(port) => std::net::SocketAddr::new(end.address, port).to_string(),
        None => end.address.to_string(),
    }
}
