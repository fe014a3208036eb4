//! The first enforcement cuts nobody: sessions that are open stay open.

use std::time::Instant;

use anyhow::Result;

use super::{
    report::{Decision, Report, Row},
    watch::Watch,
};
use crate::lab::{
    Lab,
    network::{DB, SERVERS, WEB},
    session::Session,
};

/// Opens two sessions, loads the firewalls, and uses the sessions again.
pub(crate) fn rows(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let mut ssh = Session::ssh(lab, DB)?;
    let mut sql = Session::sql(lab)?;
    let first = sql.ask("SELECT CONNECTION_ID();")?;
    report.add(Row::new(
        "admin works on db by SSH (IPv6)",
        "before",
        ssh.ask("before")?,
    ));

    let start = Instant::now();
    lab.start_agents()?;
    let names = SERVERS.map(|host| host.name).join(", ");
    report.add(
        Row::new(
            format!("an agent is started on {names}"),
            "all filter",
            "all filter",
        )
        .decided(Decision::noted(format!(
            "after {:.1} s",
            start.elapsed().as_secs_f64()
        ))),
    );

    let watch = Watch::start(&[(DB, "ssh")])?;
    let answer = ssh.ask("after").unwrap_or_else(|error| format!("{error:#}"));
    report.add(Row::new("the SSH session to db goes on", "after", answer).decided(watch.any()?));
    let watch = Watch::start(&[(WEB, "web-to-db"), (DB, "web-to-db")])?;
    let answer = sql
        .ask("SELECT CONNECTION_ID();")
        .unwrap_or_else(|error| format!("{error:#}"));
    report.add(
        Row::new(
            "the SQL session from web to db goes on, as the same connection",
            first,
            answer,
        )
        .decided(watch.any()?),
    );
    Ok(())
}
