//! `fwctl`: one file for each subcommand.

mod apply;
mod ban;
mod capture;
mod check;
mod completions;
mod counters;
mod diff;
mod doctor;
mod edit;
mod editing;
mod events;
mod explain;
mod flows;
mod harmless;
mod help;
mod history;
mod import;
mod interrupt;
mod learn;
mod man;
mod mode;
mod output;
mod plan;
mod policy_files;
mod progress;
mod reader;
mod reload;
mod replay;
mod rule;
mod schema;
mod set;
mod shadow;
mod span;
mod status;
mod top;
mod unban;
mod waiting;
mod words;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anstyle::AnsiColor;
use clap::{FromArgMatches, Parser, Subcommand, ValueEnum, builder::Styles};

use self::{
    output::{Exit, Output},
    waiting::Waiting,
};
use crate::{
    control::client::{Client, ClientError},
    control::protocol::{Failure, FailureKind, Request, Response},
    settings::DEFAULT_SOCKET,
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  fwctl check /etc/firewall-agent/policy     what is wrong with the policy files, all of it
  fwctl plan                                 what the changed files would change
  fwctl apply -m 'new mirror'                put the changed files in force, until `fwctl confirm`
  fwctl rule add debug --allow tcp/8080 --from 10.77.9.0/24
  fwctl rule move debug before ssh
  fwctl rule delete debug
  fwctl edit --batch monday.edits            many edits, all of them or none
  fwctl set add drop 192.0.2.0/24            put a network into the block list `drop`
  fwctl ban 203.0.113.66 --for 2h            drop everything from and to an address
  fwctl counters --watch
  fwctl doctor                               what is wrong here, and what to do about it
  fwctl events --follow --verdict drop
  fwctl learn --for 10m -o learned.toml      a draft of a policy, from live traffic
  fwctl capture --for 30s -o dropped.pcapng  what tcpdump does not show, with rule and reason
  fwctl explain in tcp 203.0.113.7:51000 10.0.1.10:443
  fwctl replay web.pcap --policy web.toml --local 10.0.1.10

Exit codes:
  0  done
  1  no: problems were found, or the agent refused
  2  the command line is wrong, or a file cannot be read or written
  3  the agent cannot be reached
  4  you may not do that";

/// Operates the host firewall.
#[derive(Debug, Parser)]
#[command(name = "fwctl", version, styles = STYLES, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
struct Common {
    /// The agent's control socket.
    #[arg(long, global = true, env = "FIREWALL_AGENT_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    socket: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// When to use colour; `NO_COLOR` is honoured.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says everything that is wrong with policy files; needs no root and no agent.
    Check(check::Check),
    /// Shows what is in force and how the agent is doing.
    Status(status::Status),
    /// Puts the policy files in force, as a whole or not at all.
    Reload(reload::Reload),
    /// Shows what a policy would change, also for the traffic.
    Plan(plan::Plan),
    /// Watches live traffic and says what another policy would have made of it.
    Shadow(shadow::Shadow),
    /// Puts a policy in force until it is confirmed; the kernel goes back by itself.
    Apply(apply::Apply),
    /// Puts a former revision in force again.
    Rollback(apply::Rollback),
    /// Shows who changed what, and verifies the record of it.
    History(history::History),
    /// Shows what one revision says differently than another.
    Diff(diff::Diff),
    /// Drops everything but the failsafe, now.
    Panic(mode::Panic),
    /// Lets everything pass for a while.
    Pause(mode::Pause),
    /// Makes the change that waits for its confirmation one for good.
    Confirm(apply::Keep),
    /// Goes back to what was in force before the change that waits.
    Cancel(apply::Cancel),
    /// Lists, shows and edits rules.
    #[command(subcommand, after_help = rule::EXAMPLES)]
    Rule(rule::Rule),
    /// Opens a policy file in an editor, or makes many edits as one transaction.
    Edit(edit::Edit),
    /// Lists, shows and changes block lists.
    #[command(subcommand, after_help = set::EXAMPLES)]
    Set(set::Set),
    /// Bans addresses and prefixes for a while or for good; lists bans.
    Ban(ban::Ban),
    /// Ends bans.
    Unban(unban::Unban),
    /// Lists and ends live flows.
    #[command(subcommand, after_help = flows::EXAMPLES)]
    Flows(flows::Flows),
    /// Shows what was counted, by rule, by reason and by interface.
    Counters(counters::Counters),
    /// Looks for what is not as it should be, and says what to do about it.
    Doctor(doctor::Doctor),
    /// Shows packets that were logged, as they come or those of late.
    Events(events::Events),
    /// Watches live traffic and drafts a policy from it, for you to edit.
    Learn(learn::Learn),
    /// Writes dropped packets to a file, each with the rule and the reason.
    Capture(capture::Capture),
    /// Says why a packet passes or does not, by what is in force or by files.
    Explain(explain::Explain),
    /// Judges the packets of a capture by a policy; needs no root and no agent.
    Replay(replay::ReplayCapture),
    /// Shows rates by rule and reason, sources, flows and changes, as they are.
    Top(top::Top),
    /// Writes the rules of nftables or iptables as a policy; needs no root and no agent.
    Import(import::Import),
    /// Prints what commands print with --json, as JSON Schema.
    Schema(schema::Schemas),
    /// Prints a completion script for a shell.
    Completions(completions::Completions),
    /// Writes manual pages.
    Man(man::Pages),
}

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The agent.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The agent answered something else than was asked for.
    #[error("the agent answered something else than it was asked for")]
    UnexpectedReply,
    /// The command line asks for something that does not go together.
    #[error("{0}")]
    Usage(String),
    /// A file.
    #[error("{0}")]
    File(String),
    /// The policy in the files.
    #[error("{}", .0.message)]
    Policy(Failure),
    /// The kernel's programs cannot be used here.
    #[error("the kernel's programs cannot judge here: {0}")]
    Kernel(String),
    /// Standard output.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs `fwctl`.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = help::command_line()
        .try_get_matches_from(arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed pipe does no harm here either.
            let _ = error.print();
            return Exit::from_clap(&error).into();
        }
    };
    let common = arguments.common;
    let mut output = Output::new(common.json, common.color);
    let mut agent = Agent::new(common.socket);
    let outcome = match arguments.command {
        Command::Check(command) => command.run(&mut output),
        Command::Status(command) => command.run(&mut agent, &mut output),
        Command::Reload(command) => command.run(&mut agent, &mut output),
        Command::Plan(command) => command.run(&mut agent, &mut output),
        Command::Rollback(command) => command.run(&mut agent, &mut output),
        Command::History(command) => command.run(&mut agent, &mut output),
        Command::Diff(command) => command.run(&mut agent, &mut output),
        Command::Panic(command) => command.run(&mut agent, &mut output),
        Command::Pause(command) => command.run(&mut agent, &mut output),
        Command::Shadow(command) => command.run(&mut agent, &mut output),
        Command::Apply(command) => command.run(&mut agent, &mut output),
        Command::Confirm(command) => command.run(&mut agent, &mut output),
        Command::Cancel(command) => command.run(&mut agent, &mut output),
        Command::Rule(command) => command.run(&mut agent, &mut output),
        Command::Edit(command) => command.run(&mut agent, &mut output),
        Command::Set(command) => command.run(&mut agent, &mut output),
        Command::Ban(command) => command.run(&mut agent, &mut output),
        Command::Unban(command) => command.run(&mut agent, &mut output),
        Command::Flows(command) => command.run(&mut agent, &mut output),
        Command::Counters(command) => command.run(&mut agent, &mut output),
        Command::Doctor(command) => command.run(&mut agent, &mut output),
        Command::Events(command) => command.run(&mut agent, &mut output),
        Command::Learn(command) => command.run(&mut agent, &mut output),
        Command::Capture(command) => command.run(&mut agent, &mut output),
        Command::Explain(command) => command.run(&mut agent, &mut output),
        Command::Replay(command) => command.run(&mut output),
        Command::Top(command) => command.run(&mut agent, &mut output),
        Command::Import(command) => command.run(&mut output),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match outcome {
        Ok(exit) => exit.into(),
        // Whoever read the output has seen enough.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done.into(),
        Err(error) => {
            output.complain(&error);
            error.exit().into()
        }
    }
}

impl CliError {
    fn exit(&self) -> Exit {
        match self {
            Self::Client(ClientError::Refused(failure)) => match failure.kind {
                FailureKind::Denied => Exit::Denied,
                _ => Exit::No,
            },
            Self::Client(ClientError::Unreachable { source, .. }) => match source.kind() {
                std::io::ErrorKind::PermissionDenied => Exit::Denied,
                _ => Exit::Unreachable,
            },
            Self::Policy(_) => Exit::No,
            Self::Client(_) | Self::UnexpectedReply => Exit::Unreachable,
            Self::Kernel(_) => Exit::Denied,
            Self::Usage(_) | Self::File(_) | Self::Output(_) | Self::Json(_) => Exit::Usage,
        }
    }

    /// What to do next.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Client(ClientError::Refused(failure)) | Self::Policy(failure) => failure.hint.clone(),
            Self::Client(ClientError::Unreachable { source, .. }) => Some(
                match source.kind() {
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                        "is it running? see `systemctl status firewall-agent`; what it put in force stays in force \
                         either way. With another socket, name it by --socket"
                    }
                    std::io::ErrorKind::PermissionDenied => "run it as root",
                    _ => "see `systemctl status firewall-agent`",
                }
                .to_owned(),
            ),
            Self::Client(_) | Self::UnexpectedReply => {
                Some("look at the agent's log: `journalctl -u firewall-agent`".to_owned())
            }
            Self::Kernel(_) => Some(
                "loading programs takes root (CAP_SYS_ADMIN, CAP_BPF, CAP_NET_ADMIN); --engine model needs no right and \
                 runs the same code in user space"
                    .to_owned(),
            ),
            Self::Usage(_) => Some("see --help".to_owned()),
            Self::File(_) | Self::Output(_) | Self::Json(_) => None,
        }
    }

    /// For programs, in one word, beside those of [`FailureKind`].
    fn kind(&self) -> &'static str {
        match self {
            Self::Client(ClientError::Unreachable { .. }) => "unreachable",
            Self::Client(_) | Self::UnexpectedReply => "broken",
            Self::Policy(_) => "policy",
            Self::Kernel(_) => "kernel",
            Self::Usage(_) => "usage",
            Self::File(_) | Self::Output(_) | Self::Json(_) => "file",
        }
    }

    /// What the agent says is wrong.
    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Client(ClientError::Refused(failure)) | Self::Policy(failure) => Some(failure),
            _ => None,
        }
    }
}

/// The agent, connected to when it is first asked.
struct Agent {
    socket: PathBuf,
    client: Option<Client>,
    /// Whether nothing may be said while it is waited for: the terminal shows something else.
    is_silent: bool,
}

impl Agent {
    const fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            client: None,
            is_silent: false,
        }
    }

    /// From now on nothing is said of how long an answer takes.
    const fn silence(&mut self) {
        self.is_silent = true;
    }

    fn ask(&mut self, request: Request) -> Result<Response, CliError> {
        // What is followed has its answers when there is something to tell.
        let is_told = !self.is_silent && !request.is_followed();
        let _waiting = is_told.then(Waiting::begin);
        let client = match &mut self.client {
            Some(client) => client,
            None => self.client.insert(Client::connect(&self.socket)?),
        };
        Ok(client.ask(request)?)
    }

    /// Where it listens.
    fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// A further answer to a question that has many.
    fn next(&mut self) -> Result<Response, CliError> {
        let broken = || ClientError::Broken(std::io::ErrorKind::NotConnected.into());
        Ok(self.client.as_mut().ok_or_else(broken)?.next_answer()?)
    }
}

/// Takes the answer that was asked for out of a response.
macro_rules! expect_response {
    ($agent:expr, $request:expr, $variant:ident) => {
        match $agent.ask($request)? {
            $crate::control::protocol::Response::$variant(answer) => answer,
            _ => return Err($crate::cli::CliError::UnexpectedReply),
        }
    };
}
use expect_response;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
