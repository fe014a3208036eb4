//! `fwctl set add` and `fwctl set delete`.

use crate::{
    cli::{
        Agent, CliError,
        editing::Editing,
        expect_response,
        output::{Exit, Output},
        reload,
    },
    control::protocol::{Edit, Request},
};

/// Entries, and of which block list.
#[derive(Debug, clap::Args)]
struct Of {
    /// The block list.
    name: String,
    /// Addresses, prefixes such as 192.0.2.0/24, and ranges such as 192.0.2.1-192.0.2.9.
    #[arg(required = true, value_name = "ENTRY")]
    entries: Vec<String>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

/// Puts addresses, prefixes or ranges into a block list, live and in its file. Live flows with them end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl set add drop 192.0.2.1 2001:db8::/32 --why 'scans us'")]
pub(crate) struct Add {
    #[command(flatten)]
    of: Of,
}

/// Takes entries out of a block list, live and out of its file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  fwctl set delete drop 192.0.2.1")]
pub(crate) struct Delete {
    #[command(flatten)]
    of: Of,
}

impl Add {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let Of { name, entries, why } = self.of;
        change(agent, output, Request::SetAdd { name, entries, why })
    }
}

impl Delete {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let Of { name, entries, why } = self.of;
        change(agent, output, Request::SetDelete { name, entries, why })
    }
}

/// By itself it is a request of its own, which touches nothing but these entries.
fn change(agent: &mut Agent, output: &mut Output, request: Request) -> Result<Exit, CliError> {
    let changed = expect_response!(agent, request, Changed);
    output.print(&changed, reload::text)?;
    Ok(Exit::Done)
}

impl Editing for Add {
    fn why(&self) -> Option<&String> {
        self.of.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        let Of { name, entries, .. } = self.of;
        Ok(vec![Edit::SetAdd { name, entries }])
    }
}

impl Editing for Delete {
    fn why(&self) -> Option<&String> {
        self.of.why.as_ref()
    }

    fn edits(self) -> Result<Vec<Edit>, CliError> {
        let Of { name, entries, .. } = self.of;
        Ok(vec![Edit::SetDelete { name, entries }])
    }
}
