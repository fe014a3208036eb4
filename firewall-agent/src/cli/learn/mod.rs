//! `fwctl learn`: a policy drafted from live traffic.

mod processes;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use schemars::JsonSchema;
use serde::Serialize;

use self::processes::Processes;
use super::{
    Agent, CliError, expect_response,
    interrupt::Interrupt,
    output::{Exit, Output, duration, plural, write},
    progress::Progress,
    reader::{self, end_with_reader},
    span::Span,
};
use crate::{
    control::protocol::{Learn as Wanted, Learned, Request, Response},
    learn::{Draft, Observations, draft},
};

const EXAMPLES: &str = "\
Examples:
  fwctl learn --for 10m -o learned.toml      watch for ten minutes, then write a draft
  fwctl learn                                watch until Ctrl-C, and print the draft
  fwctl learn --for 1d -o learned.toml && fwctl check learned.toml

What passes while it watches becomes rules, by service, with a comment that says how often, with whom and whose socket it
was; services that the same others use share a rule. What is dropped, as far as it is logged, is written as comments,
ICMP by its type: a draft lets nothing in that was kept out. What is dropped whatever the rules say has no rule. Where many addresses are put together to a network, the rule says WIDENED. A draft says nothing of what did not happen
meanwhile: read and edit it before you put it in force, and look at `fwctl plan` and `fwctl shadow`.

The first Ctrl-C ends the watch and writes what was seen so far.

Exit codes: 0 done; 1 the agent refused, or `fwctl check` finds errors in the draft; 2 the command line is wrong, or the
file is there already; 3 no agent, or it went away; 4 not allowed";

/// Watches live traffic and drafts a policy from it, for you to edit.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Learn {
    /// How long to watch; until Ctrl-C without it.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Span>,
    /// The role that the draft is for; the host's own where it is left out.
    #[arg(long)]
    role: Option<String>,
    /// The file, which must not be there yet; standard output without it.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What has come of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Summary<'a> {
    /// Connections that pass.
    connections: u64,
    /// Packets that were dropped and logged.
    dropped: u64,
    /// Rules of the draft.
    rules: usize,
    /// Its text.
    policy: &'a str,
}

impl Learn {
    pub(super) fn run(self, agent: &mut Agent, output: &mut Output) -> Result<Exit, CliError> {
        let mut file = self.output.as_deref().map(create).transpose()?;
        let status = expect_response!(agent, Request::Status {}, Status);
        let role = self.role.or(status.role).unwrap_or_else(|| "learned".to_owned());
        let interfaces: Vec<String> = status.interfaces.into_iter().map(|one| one.name).collect();
        let is_read = file.is_none() || output.is_json();
        let seen = match watch(agent, self.time, is_read) {
            Ok(seen) => seen,
            Err(error) => {
                if let Some(path) = &self.output {
                    // There is nothing in it.
                    let _ = fs::remove_file(path);
                }
                return Err(error);
            }
        };
        let drafted = draft(&seen, &role, &interfaces);
        match (&mut file, &self.output) {
            (Some(file), Some(path)) => file
                .write_all(drafted.text.as_bytes())
                .map_err(|error| cannot_write(path, &error))?,
            _ if output.is_json() => {}
            _ => write(&drafted.text)?,
        }
        if output.is_json() {
            output.print(&summary(&seen, &drafted), |_, _| String::new())?;
        }
        tell(&seen, &drafted);
        Ok(if drafted.checks { Exit::Done } else { Exit::No })
    }
}

fn create(path: &Path) -> Result<fs::File, CliError> {
    fs::File::create_new(path).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> CliError {
    CliError::File(format!("cannot write {}: {error}", path.display()))
}

/// `is_read` says that the draft is for whoever reads standard output.
fn watch(agent: &mut Agent, time: Option<Span>, is_read: bool) -> Result<Observations, CliError> {
    let interrupt = Interrupt::catch();
    if is_read {
        end_with_reader();
    }
    let seconds = time.map(Span::seconds);
    let (mut seen, started, mut progress) = (Observations::default(), Instant::now(), Progress::new());
    let mut learned = learned(agent.ask(Request::Learn(Wanted { seconds }))?)?;
    loop {
        let ended = learned.ended;
        let processes = learned
            .listening
            .as_ref()
            .map(|_| Processes::now())
            .unwrap_or_default();
        seen.add(learned, |protocol, port| processes.of(protocol, port));
        progress.tell(|| {
            let elapsed = duration(started.elapsed().as_secs());
            let of = seconds.map_or_else(String::new, |seconds| format!(" of {}", duration(seconds)));
            format!(
                "{elapsed}{of}: {} to {}, {} dropped; Ctrl-C ends",
                plural(seen.connections(), "connection"),
                plural(seen.services() as u64, "service"),
                plural(seen.packets(), "packet")
            )
        });
        if ended || interrupt.is_there() {
            return Ok(seen);
        }
        learned = self::learned(agent.next()?)?;
    }
}

fn learned(response: Response) -> Result<Learned, CliError> {
    match response {
        Response::Learned(learned) => Ok(learned),
        _ => Err(CliError::UnexpectedReply),
    }
}

const fn summary<'a>(seen: &Observations, drafted: &'a Draft) -> Summary<'a> {
    Summary {
        connections: seen.connections(),
        dropped: seen.packets(),
        rules: drafted.rules,
        policy: drafted.text.as_str(),
    }
}

/// On standard error, since the draft may go to standard output.
fn tell(seen: &Observations, drafted: &Draft) {
    reader::tell(&format!(
        "{} from {}; {} dropped and logged\n",
        plural(drafted.rules as u64, "rule"),
        plural(seen.connections(), "connection"),
        plural(seen.packets(), "packet")
    ));
    if !drafted.checks {
        reader::tell("`fwctl check` finds errors in it\n");
    }
}
