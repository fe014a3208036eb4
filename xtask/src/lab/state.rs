//! What a running lab is remembered by: a directory with one folder per host, and the processes that it started.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::workspace;

/// How long a process may take to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(8);

/// The lab's directory and processes.
pub(crate) struct State {
    directory: PathBuf,
    processes: Vec<Process>,
}

/// A process, told apart from a later one with the same number by the time it started at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// What it is, for people.
    pub(crate) name: String,
    /// Its number.
    pub(crate) pid: i32,
    /// Clock ticks from boot to its start (proc(5), /proc/PID/stat, field 22).
    start: u64,
}

impl State {
    /// The directory of the one lab that there can be.
    pub(crate) fn directory() -> PathBuf {
        workspace::target_dir().join("lab")
    }

    /// An empty state in a fresh directory.
    pub(crate) fn create() -> Result<Self> {
        let directory = Self::directory();
        remove_directory(&directory)?;
        fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            processes: Vec::new(),
        })
    }

    /// The state that an earlier run left, or nothing.
    pub(crate) fn load() -> Result<Option<Self>> {
        let directory = Self::directory();
        if !directory.exists() {
            return Ok(None);
        }
        let processes = match fs::read_to_string(directory.join("processes.json")) {
            Ok(text) => serde_json::from_str(&text).context("reading the lab's list of processes")?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).context("reading the lab's list of processes"),
        };
        Ok(Some(Self { directory, processes }))
    }

    /// The folder of one host, made if need be.
    pub(crate) fn folder(&self, host: &str) -> Result<PathBuf> {
        let folder = self.directory.join(host);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Remembers a process, so that it can be ended even by a later run.
    pub(crate) fn remember(&mut self, name: &str, pid: u32) -> Result<()> {
        let pid = i32::try_from(pid).context("a process number fits in 31 bits")?;
        let start = start_time(pid).with_context(|| format!("{name} ended as soon as it was started"))?;
        self.processes.push(Process {
            name: name.to_owned(),
            pid,
            start,
        });
        self.save()
    }

    /// The name of a process that is gone although nobody ended it.
    pub(crate) fn ended(&self) -> Option<&str> {
        self.processes
            .iter()
            .find(|process| !process.is_alive())
            .map(|process| process.name.as_str())
    }

    /// Whether the process of this name is there.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.processes
            .iter()
            .any(|process| process.name == name && process.is_alive())
    }

    /// Ends one process by a signal, and forgets it.
    pub(crate) fn end_process(&mut self, name: &str, signal: Signal) -> Result<()> {
        let Some(place) = self.processes.iter().position(|process| process.name == name) else {
            bail!("no process is called {name}");
        };
        let process = self.processes.remove(place);
        self.save()?;
        process.signal(signal)?;
        if !process.wait_for_end(PATIENCE) {
            bail!("{name} has not ended {} s after {signal}", PATIENCE.as_secs());
        }
        Ok(())
    }

    /// Ends every process, the last one first, and forgets them.
    pub(crate) fn end_processes(&mut self) -> Result<()> {
        for process in self.processes.iter().rev() {
            process
                .end()
                .with_context(|| format!("ending {}", process.name))?;
        }
        self.processes.clear();
        self.save()
    }

    /// Removes the directory with everything in it.
    pub(crate) fn remove(self) -> Result<()> {
        remove_directory(&self.directory)
    }

    fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.processes)?;
        fs::write(self.directory.join("processes.json"), text).context("writing the lab's list of processes")
    }
}

impl Process {
    /// Whether it is still there, and still the same.
    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.start)
    }

    /// Sends a signal, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("sending {signal} to {}", self.name)),
        }
    }

    /// Asks it to end, and kills it if it does not.
    pub(crate) fn end(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        if !self.wait_for_end(PATIENCE) {
            self.signal(Signal::SIGKILL)?;
            self.wait_for_end(PATIENCE);
        }
        Ok(())
    }

    fn wait_for_end(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while self.is_alive() && start.elapsed() < patience {
            thread::sleep(Duration::from_millis(20));
        }
        !self.is_alive()
    }
}

/// When a process started; nothing if there is none, or if it is dead and only waits to be collected.
fn start_time(pid: i32) -> Option<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 3 (state) and 22 (start) of /proc/PID/stat; field 2 is the name in parentheses and may hold anything.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn remove_directory(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("removing {}", directory.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn start_time_is_field_22_whatever_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 99 1";
        assert_eq!(parse_start_time(stat), Some(4711));
    }

    #[test]
    fn a_zombie_counts_as_ended() {
        let stat = "7 (a) Z 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 99 1";
        assert_eq!(parse_start_time(stat), None);
    }

    #[test]
    fn a_process_is_ended_and_another_start_time_is_another_process() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let start = start_time(pid).unwrap();
        let other = Process {
            name: "other".into(),
            pid,
            start: start + 1,
        };
        other.end().unwrap();
        let process = Process {
            name: "sleep".into(),
            pid,
            start,
        };
        assert!(!other.is_alive() && process.is_alive());
        process.end().unwrap();
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
