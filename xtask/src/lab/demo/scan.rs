//! A port scan from outside sees what the policy opens, and nothing else.

use std::{net::IpAddr, panic::resume_unwind, thread};

use anyhow::{Context, Result};

use super::report::{Decision, Report, Row};
use crate::{
    lab::{
        agent::Agent,
        network::{ATTACKER, CLIENT, DB, Host, LB, WEB},
    },
    process,
};

/// Packets a second from each place: a scan of all ports takes seconds, and none of them is lost on the way.
const RATE: &str = "15000";
/// All TCP ports but 0.
const PORTS: u64 = 65_535;
/// The servers, and the ports that their policies open to everybody.
const OPEN: [(Host, &[u16]); 3] = [(LB, &[80, 443]), (WEB, &[]), (DB, &[])];
/// Where is scanned from, at the same time.
const FROM: [Host; 2] = [CLIENT, ATTACKER];

/// One row for each address of each server.
pub(crate) fn rows(report: &mut Report) -> Result<()> {
    for (host, open) in OPEN {
        for address in host.addresses() {
            report.add(row(host, address, open)?);
        }
    }
    Ok(())
}

fn row(host: Host, address: IpAddr, open: &[u16]) -> Result<Row> {
    let agent = Agent::of(host);
    let before = agent.counters()?;
    let seen = thread::scope(|scope| {
        let scans = FROM.map(|from| scope.spawn(move || scan(from, address)));
        scans.map(|scan| scan.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let dropped = agent.counters()?.lost() - before.lost();
    let expected = Seen {
        open: open.to_vec(),
        rest: format!("filtered ({})", PORTS - open.len() as u64),
    };
    let sent = FROM.len() as u64 * (PORTS - open.len() as u64);
    let seen = seen.into_iter().collect::<Result<Vec<_>>>()?;
    let seen = match seen.iter().find(|seen| **seen != expected) {
        Some(other) => other.to_string(),
        None => expected.to_string(),
    };
    Ok(Row::new(
        format!(
            "client and attacker scan every TCP port of {} {address}",
            host.name
        ),
        expected.to_string(),
        seen,
    )
    .decided(Decision::new(
        format!("{}: dropped {dropped} of {sent}", host.name),
        dropped == sent,
    )))
}

/// What a scan has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    open: Vec<u16>,
    /// The state of all other ports, with their number; several states if they are not all alike.
    rest: String,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.open.is_empty() {
            out.write_str("none open, ")?;
        } else {
            let open: Vec<String> = self.open.iter().map(u16::to_string).collect();
            write!(out, "open {}, ", open.join(" "))?;
        }
        out.write_str(&self.rest)
    }
}

/// One SYN to every port, as nmap sends it.
fn scan(from: Host, to: IpAddr) -> Result<Seen> {
    let mut nmap = from.namespace().command("nmap");
    // No look whether the host is up, no names, each packet once.
    nmap.args(["-sS", "-Pn", "-n", "--max-retries", "0", "--min-rate", RATE]);
    nmap.args(["-p", "1-65535", "-oG", "-"]);
    if to.is_ipv6() {
        nmap.arg("-6");
    }
    parse(&process::output(nmap.arg(to.to_string()))?)
}

/// Reads nmap's grepable output, fields between tabs: `Ports: PORT/STATE/tcp/…, …`, `Ignored State: STATE (NUMBER)`.
fn parse(text: &str) -> Result<Seen> {
    let line = text.lines().find_map(|line| line.split_once("Ports: "));
    let (_, fields) = line.with_context(|| format!("nmap has seen no ports: {text}"))?;
    let mut fields = fields.split('\t');
    let mut open = Vec::new();
    let mut rest = Vec::new();
    for port in fields
        .next()
        .unwrap_or_default()
        .split(", ")
        .filter(|it| it.contains('/'))
    {
        match port.split('/').take(2).collect::<Vec<_>>()[..] {
            [number, "open"] => open.push(number.parse()?),
            [number, state] => rest.push(format!("{number} {state}")),
            _ => {}
        }
    }
    rest.extend(fields.find_map(|field| Some(field.strip_prefix("Ignored State: ")?.to_owned())));
    Ok(Seen {
        open,
        rest: rest.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_ports_and_the_rest_are_read() {
        let text = "# Nmap\nHost: 10.77.1.10 ()\tStatus: Up\n\
                    Host: 10.77.1.10 ()\tPorts: 80/open/tcp//http///, 443/open/tcp//https///\t\
                    Ignored State: filtered (65533)\n# Nmap done\n";
        let seen = parse(text).unwrap();
        assert_eq!(seen.to_string(), "open 80 443, filtered (65533)");
    }

    #[test]
    fn a_port_that_answers_otherwise_is_seen() {
        let text = "Host: ::1 ()\tPorts: 22/closed/tcp//ssh///\tIgnored State: filtered (65534)\n";
        assert_eq!(
            parse(text).unwrap().to_string(),
            "none open, 22 closed, filtered (65534)"
        );
        assert!(parse("# Nmap done\n").is_err());
    }
}
