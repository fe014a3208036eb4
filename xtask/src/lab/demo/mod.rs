//! The demonstration: what is tried in the lab, what should come of it, and what does.

mod blocked;
mod report;
mod services;

use anyhow::Result;

use self::report::Report;
use super::Lab;

/// Tries everything and prints the table; an error if a row is not as expected.
pub(crate) fn run(lab: &Lab) -> Result<()> {
    let mut report = Report::default();
    services::rows(lab, &mut report)?;
    blocked::unloaded(&mut report)?;
    report.finish()
}
