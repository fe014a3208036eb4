//! Path-MTU discovery: the ICMP errors that it lives on pass, as those of live connections.

use std::net::IpAddr;

use anyhow::Result;

use super::{
    report::{Report, Row},
    watch::Watch,
};
use crate::lab::{
    Lab,
    network::{CLIENT, LB, ROUTER},
    servers::web,
    web_client::{COMPLETE, Client},
};

/// Below the 1,500 bytes of every other link, and not below IPv6's least (1,280; RFC 8200 5).
const NARROW: u16 = 1300;
const WIDE: u16 = 1500;

/// One row for each IP version: the router's link to the client is narrow, which only the router knows.
pub(crate) fn rows(lab: &Lab, report: &mut Report) -> Result<()> {
    set_mtu(NARROW)?;
    let outcome = LB.addresses().iter().try_for_each(|address| {
        report.add(row(lab, *address)?);
        Ok(())
    });
    set_mtu(WIDE)?;
    outcome
}

fn row(lab: &Lab, address: IpAddr) -> Result<Row> {
    let client = Client {
        from: CLIENT,
        authority: lab.authority.certificate(),
    };
    let watch = Watch::start(&[(LB, "related-icmp")])?;
    let file = lab.state.folder(CLIENT.name)?.join("path-mtu");
    let download = client.download(address, "/download/file", file, u32::MAX)?;
    let seen = download.finish(&web::download(&lab.state)?)?;
    let tried = format!("client downloads 16 MiB from lb {address} over a link of {NARROW} bytes");
    Ok(Row::new(tried, COMPLETE, seen).decided(watch.any()?))
}

fn set_mtu(bytes: u16) -> Result<()> {
    ROUTER.ip(&format!("link set {} mtu {bytes}", CLIENT.name))
}
