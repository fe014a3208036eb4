//! Starting the lab's servers: inside a namespace, with their output in a file, remembered for the end.

use std::{
    fs::File,
    net::SocketAddr,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{netns::Namespace, state::State};

/// How long a server may take until it can be used.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a server; its output goes to `NAME.log` in `folder`.
pub(crate) fn start(state: &mut State, name: &str, folder: &Path, command: &mut Command) -> Result<()> {
    let log = File::create(folder.join(format!("{}.log", name.replace('/', "-"))))?;
    // A process group of its own, so that Ctrl-C ends this program only; the next run, or `lab down`, takes down what is
    // left.
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    state.remember(name, child.id())
}

/// Waits until a server takes connections at an address of its namespace.
pub(crate) fn wait_for_port(name: &str, namespace: Namespace, address: &str) -> Result<()> {
    let address: SocketAddr = address
        .parse()
        .with_context(|| format!("{address} is no address"))?;
    wait_until(&format!("{name} to listen on {address}"), || {
        namespace.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    })
}

/// Asks again and again until the answer is yes; an error that names what was waited for if it never is.
pub(crate) fn wait_until(what: &str, ready: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_for(what, PATIENCE, ready)
}

/// The same, with a patience of its own.
pub(crate) fn wait_for(
    what: &str,
    patience: Duration,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !ready()? {
        if start.elapsed() > patience {
            bail!("waited {} s in vain for {what}", patience.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
