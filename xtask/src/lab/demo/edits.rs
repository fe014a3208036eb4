//! A rule that `fwctl` adds opens a port, and its deletion cuts what it had let in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::Result;
use nix::{
    libc::linger,
    sys::socket::{setsockopt, sockopt::Linger},
};

use super::{
    report::{Report, Row},
    watch::Watch,
};
use crate::lab::{
    agent::Agent,
    network::{ADMIN, WEB},
    probe::{Probe, Reach},
    servers::echo::FORGOTTEN,
};

const RULE: &str = "a-test";
const WHY: &str = "the lab's demonstration";
const BY_DEFAULT: &str = "(default in)";
const ECHOED: &str = "echoed";
const CUT: &str = "cut";
/// How long an echo may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// On the web server: a port that was shut is opened for management, used, and shut again.
pub(crate) fn rows(report: &mut Report) -> Result<()> {
    let agent = Agent::of(WEB);
    let before = files(&agent.policy())?;
    for address in WEB.addresses() {
        report.add(shut(address, "before")?);
    }

    let what = format!("tcp/{FORGOTTEN}");
    agent.fwctl(&[
        "rule",
        "add",
        RULE,
        "--allow",
        &what,
        "--from",
        "management",
        "--why",
        WHY,
    ])?;
    let mut connections = Vec::new();
    for address in WEB.addresses() {
        let watch = Watch::start(&[(WEB, RULE)])?;
        let mut connection = Connection::open(address)?;
        let seen = connection.echo();
        report.add(Row::new(tried(address, "after `fwctl rule add`"), ECHOED, seen).decided(watch.any()?));
        connections.push((address, connection));
    }
    let added = changed_files(&before, &files(&agent.policy())?);
    report.add(Row::new("policy files that have the rule", "web.toml", added));

    agent.fwctl(&["rule", "delete", RULE, "--why", WHY])?;
    for (address, mut connection) in connections {
        let watch = Watch::start(&[(WEB, BY_DEFAULT)])?;
        let seen = connection.echo();
        let tried = tried(address, "in the same connection after `fwctl rule delete`");
        report.add(Row::new(tried, CUT, seen).decided(watch.any()?));
        drop(connection);
        report.add(shut(address, "in a new connection")?);
    }
    let left = changed_files(&before, &files(&agent.policy())?);
    report.add(Row::new(
        "policy files that are not what they were before",
        "none",
        left,
    ));
    Ok(())
}

/// The port does not answer, and the default of the web server counts the one packet.
fn shut(address: IpAddr, when: &str) -> Result<Row> {
    let watch = Watch::start(&[(WEB, BY_DEFAULT)])?;
    let seen = Probe::Tcp(FORGOTTEN).send(ADMIN, address)?;
    let row = Row::new(tried(address, when), Reach::Silence.to_string(), seen.to_string());
    Ok(row.decided(watch.exactly(1)?))
}

fn tried(address: IpAddr, when: &str) -> String {
    format!("admin to web {address}, TCP port {FORGOTTEN}, {when}")
}

/// A connection to the echo service.
struct Connection(TcpStream);

impl Connection {
    fn open(address: IpAddr) -> Result<Self> {
        let stream = ADMIN
            .namespace()
            .run(|| TcpStream::connect_timeout(&SocketAddr::new(address, FORGOTTEN), PATIENCE))??;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Closed by a reset: what is not acknowledged would be sent again and counted with what is tried next.
        let at_once = linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&stream, Linger, &at_once)?;
        Ok(Self(stream))
    }

    /// Whether what is sent comes back.
    fn echo(&mut self) -> &'static str {
        let mut answer = [0; 4];
        let outcome = self
            .0
            .write_all(b"echo")
            .and_then(|()| self.0.read_exact(&mut answer));
        if outcome.is_ok() && answer == *b"echo" {
            ECHOED
        } else {
            CUT
        }
    }
}

/// The files of a directory by name.
fn files(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, fs::read_to_string(entry.path())?);
    }
    Ok(files)
}

/// The names of files that differ, or `none`.
fn changed_files(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<&str> = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(String::as_str)
        .collect();
    if changed.is_empty() {
        return "none".to_owned();
    }
    changed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_differ_are_named() {
        let files = |files: &[(&str, &str)]| {
            let owned = files
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            owned.collect::<BTreeMap<_, _>>()
        };
        let before = files(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(changed_files(&before, &before), "none");
        let after = files(&[("a", "1"), ("b", "4"), ("d", "5")]);
        assert_eq!(changed_files(&before, &after), "b, c, d");
    }
}
