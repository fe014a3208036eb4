//! The demonstration: what is tried in the lab, what should come of it, and what does.

mod blocked;
mod edits;
mod killed;
mod monitoring;
mod path_mtu;
mod reloads;
mod report;
mod scan;
mod services;
mod takeover;
mod unload;
mod watch;

use anyhow::Result;

use self::report::Report;
use super::Lab;

/// Tries everything and prints the table; an error if a row is not as expected.
pub(crate) fn run(lab: &mut Lab) -> Result<()> {
    let mut report = Report::default();
    report.section("services without firewalls", |report| {
        services::unfiltered(lab, report)
    });
    report.section("what should not be possible, without firewalls", |report| {
        blocked::unfiltered(report)
    });
    report.section("firewalls are loaded under open connections", |report| {
        takeover::rows(lab, report)
    });
    report.section("services with firewalls", |report| {
        services::filtered(lab, report)
    });
    report.section("what is not possible, with firewalls", |report| {
        blocked::filtered(report)
    });
    report.section("monitoring", |report| {
        monitoring::rows(lab, report);
        Ok(())
    });
    report.section("port scans", scan::rows);
    report.section("rules are edited", edits::rows);
    report.section("reloads during a download", |report| reloads::rows(lab, report));
    report.section("path MTU", |report| path_mtu::rows(lab, report));
    report.section("agents are killed", |report| killed::rows(lab, report));
    report.section("agents are unloaded", |report| unload::rows(lab, report));
    report.section("what is possible again, without firewalls", |report| {
        blocked::unfiltered(report)
    });
    report.finish()
}
