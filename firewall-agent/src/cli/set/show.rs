//! `fwctl set show`.

use std::fmt::Write;

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
    },
    control::protocol::{ListDetail, Request},
};

/// Shows one block list: where it comes from, and its first lines.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl set show drop")]
pub(crate) struct Show {
    /// Its name.
    name: String,
}

impl Show {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let list = expect_response!(agent, Request::SetShow { name: self.name }, List);
        output.print(&list, text)?;
        Ok(Exit::Done)
    }
}

fn text(_: &Output, detail: &ListDetail) -> String {
    let list = &detail.list;
    let mut text = format!(
        "{}: {} IPv4 and {} IPv6 entries, from {}, named in {}\n",
        list.name,
        list.ipv4_entries,
        list.ipv6_entries,
        list.file.display(),
        list.origin
    );
    for line in &detail.lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}", line.escape_debug());
    }
    if detail.lines_left_out > 0 {
        let _ = writeln!(text, "  and {} more lines", detail.lines_left_out);
    }
    text
}
