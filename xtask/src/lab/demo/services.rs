//! What the company's users, administrators and monitoring must be able to do, firewalls or not.

use std::net::IpAddr;

use anyhow::Result;

use super::{
    report::{Decision, Report, Row},
    watch::Watch,
};
use crate::lab::{
    Lab,
    network::{ADMIN, CLIENT, DB, Host, LB, MONITOR, SERVERS, WEB},
    probe::{self, Probe},
    web_client::Client,
};

/// Whether firewalls are loaded, so that there are counters to read.
#[derive(Clone, Copy)]
enum Firewalls {
    Unloaded,
    Loaded,
}

/// The services as they are before any firewall.
pub(crate) fn unfiltered(lab: &Lab, report: &mut Report) -> Result<()> {
    rows(lab, report, Firewalls::Unloaded)
}

/// The services through the firewalls, with the rules that let them pass.
pub(crate) fn filtered(lab: &Lab, report: &mut Report) -> Result<()> {
    rows(lab, report, Firewalls::Loaded)
}

impl Firewalls {
    /// Does something that these rules should let pass, and says whether they did.
    fn let_pass<T>(
        self,
        rules: &[(Host, &'static str)],
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Decision)> {
        match self {
            Self::Unloaded => Ok((work()?, Decision::default())),
            Self::Loaded => {
                let watch = Watch::start(rules)?;
                let outcome = work()?;
                Ok((outcome, watch.any()?))
            }
        }
    }
}

/// One row for each service and IP version.
fn rows(lab: &Lab, report: &mut Report, firewalls: Firewalls) -> Result<()> {
    for address in LB.addresses() {
        report.add(page(lab, address, firewalls)?);
        report.add(redirect(lab, address, firewalls)?);
    }
    for host in SERVERS {
        for address in host.addresses() {
            report.add(ssh(host, address, firewalls)?);
            for from in [ADMIN, MONITOR] {
                report.add(ping(from, host, address, firewalls)?);
            }
        }
    }
    Ok(())
}

fn page(lab: &Lab, address: IpAddr, firewalls: Firewalls) -> Result<Row> {
    let way = [
        (LB, "public-web"),
        (LB, "lb-to-web"),
        (WEB, "lb-to-web"),
        (WEB, "web-to-db"),
        (DB, "web-to-db"),
    ];
    let (page, decision) = firewalls.let_pass(&way, || customer(lab).get("https", address, "/"))?;
    let which = if page.body.contains(&lab.token) {
        "the page"
    } else {
        "another page"
    };
    Ok(Row::new(
        format!("client fetches a page from lb {address}: the database's newest product is on it"),
        "200, the page",
        format!("{}, {which}", page.status),
    )
    .decided(decision))
}

fn redirect(lab: &Lab, address: IpAddr, firewalls: Firewalls) -> Result<Row> {
    let (page, decision) =
        firewalls.let_pass(&[(LB, "public-web")], || customer(lab).get("http", address, "/"))?;
    let tried = format!("client fetches a page from lb {address} over plain HTTP");
    Ok(Row::new(tried, "301", page.status.to_string()).decided(decision))
}

fn ssh(host: Host, address: IpAddr, firewalls: Firewalls) -> Result<Row> {
    let (greeting, decision) =
        firewalls.let_pass(&[(host, "ssh")], || probe::greeting(ADMIN, address, 22))?;
    let seen = match greeting {
        Ok(text) if text.starts_with("SSH-2.0-") => "SSH greets".to_owned(),
        Ok(text) => format!("{text:?}"),
        Err(error) => error.to_string(),
    };
    let tried = format!("admin connects to {} {address} port 22", host.name);
    Ok(Row::new(tried, "SSH greets", seen).decided(decision))
}

fn ping(from: Host, to: Host, address: IpAddr, firewalls: Firewalls) -> Result<Row> {
    let (seen, decision) = firewalls.let_pass(&[(to, "ping")], || Probe::Ping.send(from, address))?;
    let tried = format!("{} pings {} {address}", from.name, to.name);
    Ok(Row::new(tried, "reached", seen.to_string()).decided(decision))
}

fn customer(lab: &Lab) -> Client {
    Client {
        from: CLIENT,
        authority: lab.authority.certificate(),
    }
}
