//! `fwctl set import`.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    cli::{
        Agent, CliError, expect_response,
        output::{Exit, Output},
        reload,
    },
    control::protocol::Request,
    policy::list_file,
};

/// Gives a block list the content of a file, live and in its own file. One entry a line, as plain lists, `FireHOL`,
/// Spamhaus (text or JSON) and ipsum publish them; gzip is unpacked. Where a line is wrong, nothing is changed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  fwctl set import drop drop_v4.json\n  curl -s https://example.org/drop.txt | fwctl set import drop -"
)]
pub(crate) struct Import {
    /// The block list.
    name: String,
    /// The file, or `-` for standard input.
    file: PathBuf,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, value_name = "TEXT")]
    why: Option<String>,
}

impl Import {
    pub(crate) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let text = read(&self.file)
            .and_then(list_file::text)
            .map_err(|error| CliError::File(format!("cannot read {}: {error}", self.file.display())))?;
        let request = Request::SetImport {
            name: self.name,
            text,
            why: self.why,
        };
        let changed = expect_response!(agent, request, Changed);
        output.print(&changed, reload::text)?;
        Ok(Exit::Done)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = list_file::MAX_TEXT_BYTES + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
