//! The firewall agent of one server: the release binary with the shipped policy, in the server's namespace.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{counters::Counters, daemon, network::Host, servers, state::State};
use crate::{process, workspace};

const SETTINGS: &str = include_str!("files/agent.toml");
/// Everything that the lab's agents pin; one directory for each below it.
const PINS: &str = "/sys/fs/bpf/fwlab";
/// The control sockets: a short path, whatever the target directory's is (a socket's has at most 107 bytes, unix(7)).
const SOCKETS: &str = "/run/fwlab";
/// How long an agent may take until it filters: the kernel verifies its programs first, three agents at a time.
const PATIENCE: Duration = Duration::from_mins(2);

/// The agent of one server.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    /// The server.
    pub(crate) host: Host,
    folder: PathBuf,
}

impl Agent {
    /// The agent of this server, running or not.
    pub(crate) fn of(host: Host) -> Self {
        Self {
            host,
            folder: State::directory().join(host.name).join("agent"),
        }
    }

    /// Its name among the lab's processes.
    fn process(&self) -> String {
        format!("{}/agent", self.host.name)
    }

    /// Its settings.
    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// The directory of its policy files: copies of the shipped ones.
    pub(crate) fn policy(&self) -> PathBuf {
        self.folder.join("policy")
    }

    /// Its control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        Path::new(SOCKETS).join(format!("{}.sock", self.host.name))
    }

    /// The directory that it pins in.
    pub(crate) fn pins(&self) -> PathBuf {
        Path::new(PINS).join(self.host.name)
    }

    /// Writes its settings, and the shipped policies beside them.
    pub(crate) fn configure(&self) -> Result<()> {
        let policy = self.policy();
        fs::create_dir_all(&policy)?;
        for entry in fs::read_dir(workspace::root().join("rules"))? {
            let path = entry?.path();
            if let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|it| it == "toml")) {
                fs::copy(&path, policy.join(name))?;
            }
        }
        let settings = servers::render(
            SETTINGS,
            &[
                ("host", &self.host.inventory_name()),
                ("pins", &self.pins().display().to_string()),
                ("socket", &self.socket().display().to_string()),
            ],
        )?;
        Ok(fs::write(self.settings(), settings)?)
    }

    /// Starts it; it filters once [`Self::wait`] returns.
    pub(crate) fn start(&self, state: &mut State) -> Result<()> {
        // Its parent: the agent makes the last directory only.
        fs::create_dir_all(PINS)?;
        let mut command = self.host.namespace().command(&installed("firewall-agent"));
        command.arg("--settings").arg(self.settings());
        daemon::start(state, &self.process(), &self.folder, &mut command)
    }

    /// Waits until it filters and takes orders.
    pub(crate) fn wait(&self, state: &State) -> Result<()> {
        let name = self.process();
        daemon::wait_for(&format!("{name} to answer"), PATIENCE, || {
            if !state.is_running(&name) {
                bail!("{name} has ended:\n{}", self.log_end()?);
            }
            Ok(process::succeeds(self.fwctl_command().arg("status")))
        })
    }

    /// Ends it by a signal; what it has put in force stays in force.
    pub(crate) fn end(&self, state: &mut State, signal: Signal) -> Result<()> {
        state.end_process(&self.process(), signal)
    }

    /// Runs `fwctl` for this agent and returns what it prints as JSON.
    pub(crate) fn fwctl(&self, words: &[&str]) -> Result<Value> {
        let text = process::output(self.fwctl_command().arg("--json").args(words))?;
        serde_json::from_str(&text).with_context(|| format!("fwctl printed no JSON but {text}"))
    }

    /// What it has counted.
    pub(crate) fn counters(&self) -> Result<Counters> {
        Counters::parse(&self.fwctl(&["counters"])?)
    }

    /// The number of the judgement in force.
    pub(crate) fn generation(&self) -> Result<u64> {
        let status = self.fwctl(&["status"])?;
        status["generation"]
            .as_u64()
            .context("the status has no generation")
    }

    /// Takes everything that it has loaded out of the kernel; it must have ended.
    pub(crate) fn unload(&self) -> Result<String> {
        let mut command = self.host.namespace().command(&installed("firewall-agent"));
        command.arg("--settings").arg(self.settings()).arg("unload");
        Ok(process::output(&mut command)?)
    }

    /// The command line of `fwctl` for this agent, for people.
    pub(crate) fn fwctl_line(&self) -> String {
        format!("{} --socket {}", installed("fwctl"), self.socket().display())
    }

    fn fwctl_command(&self) -> Command {
        let mut command = Command::new(installed("fwctl"));
        command.arg("--socket").arg(self.socket());
        command
    }

    fn log_end(&self) -> Result<String> {
        let log = fs::read_to_string(self.folder.join(format!("{}-agent.log", self.host.name)))?;
        let lines: Vec<&str> = log.lines().collect();
        Ok(lines[lines.len().saturating_sub(10)..].join("\n"))
    }
}

/// Removes whatever agents that are gone have left in the kernel and under `/run`. Removing the last pin of a link
/// detaches its program.
pub(crate) fn remove_traces() -> Result<()> {
    for directory in [PINS, SOCKETS] {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {directory}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn installed(program: &str) -> String {
    workspace::installed(program).display().to_string()
}
