//! The command line of `firewall-agent`.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use aya::util::KernelVersion;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use nix::unistd::Uid;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::{RunError, chain, log, run, settings_file::tell_of_copy};
use crate::{
    control::{AccessError, AccessRules},
    dataplane::{Dataplane, DataplaneError, KernelDataplane, KernelSettings, Unloaded, hold_little_memory},
    settings::{self, DEFAULT_PATH, Loaded, Settings, SettingsError},
    state::{Panic, StateDirectory, StateError},
};

/// What the log level is taken from; the syntax is that of `tracing_subscriber`'s filters, such as `info` or
/// `warn,firewall_agent::packet=info`.
const LOG_VARIABLE: &str = "FIREWALL_AGENT_LOG";

/// The oldest kernel that the programs are tested on.
const LEAST_KERNEL: KernelVersion = KernelVersion::new(6, 1, 0);

/// How long what is still running at the end may take; an end by force does no harm either.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

const EXIT_CODES: &str = "\
Stopping the agent, by any signal, leaves in force what is in force; `firewall-agent unload` takes it out.

Exit codes: 0 done, 1 it could not be done, 2 the command line or the settings are wrong";

/// Enforces the host's firewall policy.
#[derive(Debug, Parser)]
#[command(name = "firewall-agent", version, after_help = EXIT_CODES)]
struct Arguments {
    /// The settings.
    #[arg(long, global = true, default_value = DEFAULT_PATH, value_name = "PATH")]
    settings: PathBuf,
    /// How the log is written.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Auto, value_name = "FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Option<Command>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// To the journal where systemd has connected standard error to it, else as text.
    Auto,
    /// To standard error, for people.
    Text,
    /// To standard error, one JSON object to a line.
    Json,
    /// To the journal, with a field for everything that is said: `journalctl FW_RULE=ssh`.
    Journal,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Runs the agent until a signal ends it (the default).
    Run,
    /// Takes everything out of the kernel: the host is not filtered any more. No agent may be running.
    Unload,
    /// Says whether the settings are right, and changes nothing. An agent that starts with wrong ones goes on with its copy
    /// of those that it last started with, if there is one.
    CheckSettings,
}

/// Why the program ends badly.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{source}; stop it first: systemctl stop firewall-agent")]
    Running { source: StateError },
    #[error("cannot take everything out of the kernel: {}", chain(.0))]
    Unload(#[from] DataplaneError),
    #[error("cannot start: {0}")]
    Runtime(#[from] io::Error),
}

impl CommandError {
    /// What to do about it, where that is not said already.
    fn hint(&self) -> Option<String> {
        if !matches!(self, Self::Run(_) | Self::Unload(_)) {
            return None;
        }
        if !Uid::effective().is_root() {
            let hint = "it needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run it by its unit, or as root";
            return Some(hint.to_owned());
        }
        let kernel = KernelVersion::current().ok()?;
        (kernel < LEAST_KERNEL)
            .then(|| "kernel 6.1 or later is needed; `uname -r` says which one this is".to_owned())
    }
}

/// The command line, for manual pages.
pub(crate) fn command_line() -> clap::Command {
    Arguments::command()
}

/// Runs `firewall-agent`.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // With its output closed there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    start_log(arguments.log_format);
    match execute(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("firewall-agent: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            match error {
                CommandError::Settings(_) | CommandError::Access(_) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn execute(arguments: &Arguments) -> Result<(), CommandError> {
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => serve(usable(&arguments.settings)?),
        Command::Unload => unload(&usable(&arguments.settings)?.settings),
        Command::CheckSettings => check_settings(&arguments.settings),
    }
}

/// The settings; what the agent last started with where they are broken, so that a slip of the pen does not leave a host
/// without a firewall at its next boot.
fn usable(path: &Path) -> Result<Loaded, SettingsError> {
    let (loaded, error) = settings::load_or_copy(path)?;
    if let Some(error) = error {
        tell_of_copy(&error);
    }
    Ok(loaded)
}

/// Threads that run the agent's tasks; what blocks has threads of its own.
const WORKERS: usize = 2;

fn serve(loaded: Loaded) -> Result<(), CommandError> {
    hold_little_memory();
    let dataplane = Box::new(KernelDataplane::new(KernelSettings::from(&loaded.settings)));
    // One for each CPU would be memory for nothing on a large machine: the agent hardly ever has work.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(run(loaded, dataplane));
    // What still runs may be the verifier's work for a change to come.
    runtime.shutdown_timeout(LAST_PATIENCE);
    Ok(ended?)
}

fn unload(settings: &Settings) -> Result<(), CommandError> {
    // Held, so that no agent starts meanwhile. A directory that cannot be used must not keep anybody from unloading.
    let held = match StateDirectory::open(&settings.state_dir) {
        Err(source @ StateError::InUse { .. }) => return Err(CommandError::Running { source }),
        other => other.ok(),
    };
    let unloaded = KernelDataplane::new(KernelSettings::from(settings)).unload()?;
    // Who takes the firewall out does not want the next start to shut the host.
    if let Some(Err(error)) = held.map(|held| Panic::note(&held).clear()) {
        eprintln!("firewall-agent: the next start will be in panic: {error}");
    }
    println!("{}", describe(&unloaded));
    Ok(())
}

fn describe(unloaded: &Unloaded) -> String {
    if *unloaded == Unloaded::default() {
        return "nothing was loaded".to_owned();
    }
    let mut lines = vec![format!(
        "unloaded: {} interfaces are not filtered any more ({}), {} pins removed",
        unloaded.interfaces.len(),
        unloaded.interfaces.join(", "),
        unloaded.pins
    )];
    lines.extend(unloaded.restored.iter().map(|line| format!("restored: {line}")));
    lines.join("\n")
}

fn check_settings(path: &Path) -> Result<(), CommandError> {
    let settings = settings::load(path)?;
    AccessRules::new(&settings.control)?;
    println!("{}: ok", path.display());
    Ok(())
}

fn start_log(format: LogFormat) {
    let format = match format {
        LogFormat::Auto if log::goes_to_the_journal() => LogFormat::Journal,
        other => other,
    };
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .with_env_var(LOG_VARIABLE)
        .from_env_lossy();
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let log: Box<dyn Layer<_> + Send + Sync> = match format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Journal => match log::journal() {
            Ok(journal) => journal.boxed(),
            Err(error) => {
                eprintln!("firewall-agent: there is no journal to write to: {error}");
                lines.with_ansi(false).without_time().boxed()
            }
        },
        LogFormat::Text | LogFormat::Auto => lines.with_ansi(io::stderr().is_terminal()).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(log).init();
}
