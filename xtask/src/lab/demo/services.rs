//! What the company's users, administrators and monitoring must be able to do, firewalls or not.

use anyhow::Result;

use super::report::{Report, Row};
use crate::lab::{
    Lab,
    network::{ADMIN, CLIENT, DB, LB, WEB},
    probe,
    web_client::Client,
};

/// One row for each service and IP version.
pub(crate) fn rows(lab: &Lab, report: &mut Report) -> Result<()> {
    report.section("services");
    let client = Client {
        from: CLIENT,
        authority: &lab.authority.certificate(),
    };
    for address in LB.addresses() {
        let page = client.get("https", address, "/")?;
        let seen = if page.body.contains(&lab.token) {
            "the page"
        } else {
            "another page"
        };
        report.add(Row::new(
            format!("client fetches a page from lb {address}: the database's newest product is on it"),
            "200, the page",
            format!("{}, {seen}", page.status),
        ));
        let page = client.get("http", address, "/")?;
        report.add(Row::new(
            format!("client fetches http://{address}/"),
            "301",
            page.status.to_string(),
        ));
    }
    for (host, address) in [LB, WEB, DB]
        .iter()
        .flat_map(|host| host.addresses().map(|address| (host, address)))
    {
        let greeting = probe::greeting(ADMIN, address, 22)?.unwrap_or_default();
        let seen = if greeting.starts_with("SSH-2.0-") {
            "SSH greets"
        } else {
            "nothing"
        };
        report.add(Row::new(
            format!("admin connects to {} {address} port 22", host.name),
            "SSH greets",
            seen,
        ));
    }
    Ok(())
}
