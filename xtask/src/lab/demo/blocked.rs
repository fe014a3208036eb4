//! What must not be possible, shown twice: without firewalls it is, with them it is not.

use std::net::IpAddr;

use anyhow::Result;

use super::{
    report::{Report, Row},
    watch::Watch,
};
use crate::lab::{
    network::{ATTACKER, CLIENT, DB, Host, LB, MONITOR, WEB},
    probe::{
        Probe::{self, Ping, Tcp, Udp},
        Reach,
    },
    servers::echo::{FORGOTTEN, OUTSIDE, TUNNEL},
};

/// Something that the policies do not allow.
pub(crate) struct Blocked {
    from: Host,
    to: Host,
    probe: Probe,
    what: &'static str,
    /// How the one who tries is told.
    outcome: Reach,
    /// The server and the rule that should decide.
    decider: (Host, &'static str),
}

/// Dropped on its way in, by a rule of the server that it is sent to.
const fn dropped(from: Host, to: Host, probe: Probe, what: &'static str, rule: &'static str) -> Blocked {
    Blocked {
        from,
        to,
        probe,
        what,
        outcome: Reach::Silence,
        decider: (to, rule),
    }
}

/// Rejected on its way out, by the server that sends it.
const fn rejected(from: Host, to: Host, probe: Probe, what: &'static str) -> Blocked {
    Blocked {
        from,
        to,
        probe,
        what,
        outcome: Reach::RefusedAtOnce,
        decider: (from, "(default out)"),
    }
}

const BY_DEFAULT: &str = "(default in)";
const BLOCKED: [Blocked; 18] = [
    dropped(
        ATTACKER,
        WEB,
        Tcp(443),
        "the web server behind the load balancer",
        "around-the-lb",
    ),
    dropped(
        CLIENT,
        WEB,
        Tcp(443),
        "the web server behind the load balancer",
        "around-the-lb",
    ),
    dropped(CLIENT, WEB, Tcp(FORGOTTEN), "a forgotten test", BY_DEFAULT),
    dropped(ATTACKER, DB, Tcp(3306), "the database", "database-probes"),
    dropped(CLIENT, DB, Tcp(3306), "the database", "database-probes"),
    dropped(MONITOR, DB, Tcp(3306), "the database", "database-probes"),
    rejected(LB, DB, Tcp(3306), "the database"),
    dropped(ATTACKER, LB, Tcp(22), "SSH", BY_DEFAULT),
    dropped(CLIENT, DB, Tcp(22), "SSH", BY_DEFAULT),
    rejected(WEB, DB, Tcp(22), "SSH from server to server"),
    dropped(ATTACKER, LB, Tcp(8405), "HAProxy's figures", BY_DEFAULT),
    dropped(CLIENT, WEB, Tcp(9100), "the server's figures", BY_DEFAULT),
    rejected(WEB, CLIENT, Tcp(OUTSIDE), "a stranger's HTTPS server"),
    rejected(DB, ATTACKER, Tcp(OUTSIDE), "calling home"),
    rejected(DB, ATTACKER, Udp(TUNNEL), "a tunnel through DNS"),
    rejected(LB, ATTACKER, Ping, "an echo request out"),
    dropped(CLIENT, WEB, Ping, "an echo request", BY_DEFAULT),
    dropped(ATTACKER, DB, Ping, "an echo request", BY_DEFAULT),
];

/// Shows that each of them is possible as long as no firewall is loaded.
pub(crate) fn unfiltered(report: &mut Report) -> Result<()> {
    for (case, address) in each() {
        let seen = case.probe.send(case.from, address)?;
        report.add(Row::new(
            case.tried(address),
            Reach::Reached.to_string(),
            seen.to_string(),
        ));
    }
    Ok(())
}

/// Shows that none of them is possible, and that it is the rule named that counts the one packet sent.
pub(crate) fn filtered(report: &mut Report) -> Result<()> {
    for (case, address) in each() {
        let watch = Watch::start(&[case.decider])?;
        let seen = case.probe.send(case.from, address)?;
        let row = Row::new(case.tried(address), case.outcome.to_string(), seen.to_string());
        report.add(row.decided(watch.exactly(1)?));
    }
    Ok(())
}

/// Each case, over IPv4 and IPv6.
fn each() -> impl Iterator<Item = (&'static Blocked, IpAddr)> {
    BLOCKED
        .iter()
        .flat_map(|case| case.to.addresses().map(|address| (case, address)))
}

impl Blocked {
    fn tried(&self, address: IpAddr) -> String {
        format!(
            "{} to {} {address}, {} ({})",
            self.from.name, self.to.name, self.probe, self.what
        )
    }
}
