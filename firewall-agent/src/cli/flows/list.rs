//! `fwctl flows list`.

use std::fmt::Write;

use clap::ValueEnum;

use super::filter::Filter;
use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output, duration, lines, plural},
    },
    control::protocol::{FlowEnd, FlowInfo, FlowSort, Flows, Request},
};

/// Lists live flows.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A flow whose rule has ended by itself is listed with `rule ended` until its next packet, on which the rules that are left decide.\n\nExamples:\n  fwctl flows list --port 443 --state established --limit 20\n  \
  fwctl flows list --direction in --sort idle --reverse --limit 10"
)]
pub(crate) struct List {
    #[command(flatten)]
    filter: Filter,
    /// The first ones in this order.
    #[arg(long, value_enum, value_name = "BY")]
    sort: Option<Sort>,
    /// The other way round: --sort idle --reverse shows the longest idle first.
    #[arg(long, requires = "sort")]
    reverse: bool,
    /// At most so many.
    #[arg(long, default_value_t = 1000)]
    limit: u32,
}

/// What flows are put in order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Protocol.
    Protocol,
    /// Address and port of the other end.
    Remote,
    /// Address and port of this end.
    Local,
    /// State.
    State,
    /// The rule that let it in.
    Rule,
    /// Time since its first packet.
    Age,
    /// Time since its last packet.
    Idle,
    /// Time until it ends.
    Left,
}

impl From<Sort> for FlowSort {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Protocol => Self::Protocol,
            Sort::Remote => Self::Remote,
            Sort::Local => Self::Local,
            Sort::State => Self::State,
            Sort::Rule => Self::Rule,
            Sort::Age => Self::Age,
            Sort::Idle => Self::Idle,
            Sort::Left => Self::Left,
        }
    }
}

impl List {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let request = Request::FlowList {
            filter: self.filter.into(),
            limit: self.limit,
            sort: self.sort.map(FlowSort::from),
            reverse: self.reverse,
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
            rule(flow),
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

fn rule(flow: &FlowInfo) -> String {
    if flow.rule_ended {
        format!("{} (rule ended)", flow.rule)
    } else {
        flow.rule.clone()
    }
}

fn end(end: &FlowEnd) -> String {
    match end.port {
        Some(port) => std::net::SocketAddr::new(end.address, port).to_string(),
        None => end.address.to_string(),
    }
}
