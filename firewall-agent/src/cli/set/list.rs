//! `fwctl set list`.

use comfy_table::Cell;

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output, lines},
    },
    control::protocol::{Lists, Request},
};

/// Lists the block lists in force.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  fwctl set list\n  fwctl set list --json | jq -r '.lists[].name'")]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let Self {} = self;
        let lists = expect_response!(agent, Request::SetList {}, Lists);
        output.print(&lists, text)?;
        Ok(Exit::Done)
    }
}

fn text(output: &Output, lists_in_force: &Lists) -> String {
    if lists_in_force.lists.is_empty() {
        return "the policy in force has no block lists\n".to_owned();
    }
    let mut table = output.table(&["LIST", ">IPV4", ">IPV6", "FILE", "NAMED IN"]);
    for list in &lists_in_force.lists {
        table.add_row([
            Cell::new(&list.name),
            Cell::new(list.ipv4_entries),
            Cell::new(list.ipv6_entries),
            Cell::new(list.file.display()),
            Cell::new(&list.origin),
        ]);
    }
    lines(&table)
}
