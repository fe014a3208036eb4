//! What must not be possible, shown twice: without firewalls it is, with them it is not.

use anyhow::Result;

use super::report::{Report, Row};
use crate::lab::{
    network::{ATTACKER, CLIENT, DB, Host, LB, WEB},
    probe::{self, Reach},
};

/// A connection that the policies do not allow.
struct Blocked {
    from: Host,
    to: Host,
    port: u16,
    what: &'static str,
}

const fn blocked(from: Host, to: Host, port: u16, what: &'static str) -> Blocked {
    Blocked { from, to, port, what }
}

const BLOCKED: [Blocked; 9] = [
    blocked(ATTACKER, WEB, 443, "the web server behind the load balancer"),
    blocked(CLIENT, WEB, 443, "the web server behind the load balancer"),
    blocked(ATTACKER, DB, 3306, "the database"),
    blocked(CLIENT, DB, 3306, "the database"),
    blocked(LB, DB, 3306, "the database"),
    blocked(ATTACKER, LB, 22, "SSH"),
    blocked(CLIENT, DB, 22, "SSH"),
    blocked(ATTACKER, LB, 8405, "HAProxy's figures"),
    blocked(CLIENT, WEB, 9100, "the server's figures"),
];

/// Shows that each of them is possible as long as no firewall is loaded.
pub(crate) fn unloaded(report: &mut Report) -> Result<()> {
    report.section("without firewalls");
    for case in BLOCKED {
        for address in case.to.addresses() {
            let seen = probe::tcp(case.from, address, case.port)?;
            report.add(Row::new(
                case.tried(address),
                Reach::Reached.to_string(),
                seen.to_string(),
            ));
        }
    }
    Ok(())
}

impl Blocked {
    fn tried(&self, address: std::net::IpAddr) -> String {
        format!(
            "{} to {} {address} port {} ({})",
            self.from.name, self.to.name, self.port, self.what
        )
    }
}
