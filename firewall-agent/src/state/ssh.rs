//! The SSH connection that an operator works in.

use std::{
    env, fs,
    net::{IpAddr, SocketAddr},
    os::unix::process::parent_id,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `sshd` tells the programs of a session.
const VARIABLE: &str = "SSH_CONNECTION";

/// Most processes between `fwctl` and the session's shell that are looked at: `sudo`, shells, a terminal multiplexer.
const MOST_PARENTS: usize = 32;

/// The two ends of an SSH connection, as this host sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshConnection {
    /// The operator's end.
    pub client: SocketAddr,
    /// This host's end.
    pub server: SocketAddr,
}

impl SshConnection {
    /// The connection that this process was started in: of its own environment, else of the nearest parent's that has
    /// one, since `sudo` takes the variable away. Where it is set and empty there is none.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        match env::var_os(VARIABLE) {
            Some(own) => Self::parse(&own.to_string_lossy()),
            None => of_parents(),
        }
    }

    /// `192.0.2.7 50522 10.77.2.10 22`, as in the variable `SSH_CONNECTION`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut end = || {
            Some(SocketAddr::new(
                address(words.next()?)?,
                words.next()?.parse().ok()?,
            ))
        };
        let (client, server) = (end()?, end()?);
        words.next().is_none().then_some(Self { client, server })
    }
}

/// Without the zone of a link-local address, which no packet has.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn of_parents() -> Option<SshConnection> {
    let mut process = parent_id();
    for _ in 0..MOST_PARENTS {
        if process <= 1 {
            return None;
        }
        // Those of other users can be read by root only.
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        if let Some(connection) = of_environment(&environment) {
            return Some(connection);
        }
        process = parent_of(process)?;
    }
    None
}

fn of_environment(environment: &[u8]) -> Option<SshConnection> {
    let text = String::from_utf8_lossy(environment);
    let mut variables = text.split('\0').filter_map(|variable| variable.split_once('='));
    let (_, value) = variables.find(|(name, _)| *name == VARIABLE)?;
    SshConnection::parse(value)
}

/// `PID (NAME) STATE PARENT …`; a name may have blanks and parentheses.
fn parent_of(process: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_in_both_families() {
        let of =
            |text| SshConnection::parse(text).map(|one| (one.client.to_string(), one.server.to_string()));
        assert_eq!(
            of("192.0.2.7 50522 10.77.2.10 22"),
            Some(("192.0.2.7:50522".into(), "10.77.2.10:22".into()))
        );
        assert_eq!(
            of("fe80::1%eth0 50522 fe80::2%eth0 22"),
            Some(("[fe80::1]:50522".into(), "[fe80::2]:22".into()))
        );
        assert_eq!(
            of("::ffff:192.0.2.7 1 ::ffff:10.77.2.10 22"),
            Some(("192.0.2.7:1".into(), "10.77.2.10:22".into()))
        );
        for wrong in [
            "",
            "192.0.2.7",
            "a b c d",
            "192.0.2.7 1 10.0.0.1 22 5",
            "192.0.2.7 99999 10.0.0.1 22",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_environment_is_searched_and_a_parent_is_found() {
        let environment = b"HOME=/root\0SSH_CONNECTION=192.0.2.7 1 10.0.0.1 22\0A=b\0";
        assert!(of_environment(environment).is_some());
        assert_eq!(of_environment(b"HOME=/root\0XSSH_CONNECTION=1"), None);
        assert_eq!(parent_of(std::process::id()), Some(parent_id()));
    }
}
