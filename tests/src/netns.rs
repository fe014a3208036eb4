//! Network namespaces that live as long as a value.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::process::CommandExt,
    },
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{self, Command, Output},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace, gone when the value is dropped: at once where it has a name, else with the last interface,
/// process and thread in it.
///
/// Nothing is ever run through `ip netns exec`, which mounts a fresh `/sys` and hides pinned BPF objects: threads and
/// processes enter by `setns(2)` and keep their mounts.
#[derive(Debug)]
pub struct NetNs {
    /// Below `/run/netns`, or a path where it has no name.
    name: String,
    file: Arc<File>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl NetNs {
    /// Makes a namespace whose name starts with `prefix`, with loopback up.
    pub fn new(prefix: &str) -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{number}", process::id());
        ip(&["netns", "add", &name])?;
        let path = Path::new("/run/netns").join(&name);
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let namespace = Self {
            name,
            file: Arc::new(file),
        };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Makes a namespace without a name, with loopback up. It goes with the process, however that ends.
    pub fn unnamed() -> Result<Self> {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made.join().unwrap_or_else(|panic| resume_unwind(panic));
        let file = file.context("cannot make a network namespace")?;
        let namespace = Self {
            name: format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd()),
            file: Arc::new(file),
        };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name, as `ip` takes it behind `netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` on the namespace; `arguments` are separated by blanks.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        output(self.command("ip").args(arguments.split_whitespace()))
    }

    /// Joins two namespaces by a pair of veth interfaces, both up.
    pub fn join(&self, interface: &str, other: &Self, other_interface: &str) -> Result<()> {
        self.ip(&format!(
            "link add {interface} type veth peer name {other_interface} netns {}",
            other.name
        ))?;
        self.ip(&format!("link set {interface} up"))?;
        other.ip(&format!("link set {other_interface} up"))?;
        Ok(())
    }

    /// Gives an interface an address with its prefix length, usable at once (no duplicate address detection).
    pub fn address(&self, interface: &str, address: &str) -> Result<()> {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("address add {address} dev {interface}{nodad}"))?;
        Ok(())
    }

    /// Sets a network setting of the namespace, by its path under `/proc/sys`.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        let file = PathBuf::from("/proc/sys").join(path);
        self.run(|| fs::write(&file, value))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// The way into it for another thread, for good.
    #[must_use]
    pub fn entrance(&self) -> Entrance {
        Entrance(Arc::clone(&self.file))
    }

    /// Runs `work` on a thread in the namespace and returns what it returns. Threads that it starts are in the
    /// namespace, too: a tokio runtime has to be built inside.
    ///
    /// # Panics
    /// Where the thread may not enter the namespace, and where `work` panics.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let result = thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
                    work()
                })
                .join()
        });
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// A command whose process is in the namespace.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let file = Arc::clone(&self.file);
        // SAFETY: between fork and exec only setns(2) is called, which is a plain system call.
        unsafe {
            command.pre_exec(move || setns(file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(io::Error::from));
        }
        command
    }
}

/// The way into a namespace.
#[derive(Debug)]
pub struct Entrance(Arc<File>);

impl Entrance {
    /// Moves the calling thread there; threads and processes that it starts follow.
    pub fn enter(&self) {
        setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        if self.name.starts_with('/') {
            return;
        }
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!("{error:#}");
        }
    }
}

fn ip(arguments: &[&str]) -> Result<String> {
    output(Command::new("ip").args(arguments))
}

/// Runs a command and returns what it prints; fails with what it says where it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        status.success(),
        "{command:?}: {status}: {}",
        String::from_utf8_lossy(&stderr).trim()
    );
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
