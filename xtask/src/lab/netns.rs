//! Network namespaces: made and removed with `ip`, entered by programs (`nsenter`) and by threads of this one.

use std::{fs::File, io, path::PathBuf, process::Command, thread};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use crate::process;

/// A named network namespace of the lab; does not remove itself, since `--keep` leaves it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// The host that it stands for.
    host: &'static str,
}

impl Namespace {
    /// The namespace of the host with this name.
    pub(crate) const fn of(host: &'static str) -> Self {
        Self { host }
    }

    /// Its name for `ip netns`.
    pub(crate) fn name(self) -> String {
        format!("fwlab-{}", self.host)
    }

    fn path(self) -> PathBuf {
        PathBuf::from("/run/netns").join(self.name())
    }

    /// Whether it is there.
    pub(crate) fn exists(self) -> bool {
        self.path().exists()
    }

    /// Makes it, with its loopback up.
    pub(crate) fn create(self) -> Result<()> {
        process::output(Command::new("ip").args(["netns", "add", &self.name()]))?;
        self.ip("link set lo up")
    }

    /// Removes it, and with it the interfaces in it, if it is there.
    pub(crate) fn delete(self) -> Result<()> {
        if self.exists() {
            process::output(Command::new("ip").args(["netns", "delete", &self.name()]))?;
        }
        Ok(())
    }

    /// Runs `ip` with these words inside.
    pub(crate) fn ip(self, words: &str) -> Result<()> {
        let mut ip = Command::new("ip");
        ip.args(["-netns", &self.name()]).args(words.split(' '));
        process::output(&mut ip)?;
        Ok(())
    }

    /// Sets a kernel parameter inside.
    pub(crate) fn sysctl(self, setting: &str) -> Result<()> {
        process::output(self.command("sysctl").args(["-q", "-w", setting]))?;
        Ok(())
    }

    /// A program to be run inside. Not `ip netns exec`: that mounts a fresh /sys, in which the pins are missing.
    pub(crate) fn command(self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .args(["--", program]);
        command
    }

    /// Does some work in a thread that is inside; the thread ends with it.
    pub(crate) fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.enter_thread()?;
                Ok::<T, io::Error>(work())
            });
            match worker.join() {
                Ok(result) => result.with_context(|| format!("entering the namespace {}", self.name())),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Moves the calling thread inside, for good.
    pub(crate) fn enter_thread(self) -> io::Result<()> {
        let namespace = File::open(self.path())?;
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
    }
}
