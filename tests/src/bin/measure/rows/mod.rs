//! The rows of the table, by what they have in common.

mod captures;
mod classifier;
mod connections;
mod ended;
mod live;
mod memory;
mod rules;
mod sets;
mod stream;
mod time;
mod wire;

use anyhow::Result;

use crate::{Bench, report::Report};

/// Rows that are measured together.
pub(crate) struct Topic {
    /// For progress.
    pub(crate) name: &'static str,
    /// Their numbers.
    pub(crate) rows: &'static [u8],
    /// Measures them.
    pub(crate) measure: fn(&Bench, &mut Report) -> Result<()>,
}

/// All of them.
pub(crate) const TOPICS: [Topic; 11] = [
    Topic {
        name: "live flows",
        rows: &[1, 2, 14],
        measure: live::measure,
    },
    Topic {
        name: "flows that end",
        rows: &[2],
        measure: ended::measure,
    },
    Topic {
        name: "first packets",
        rows: &[3, 4, 5, 6],
        measure: rules::measure,
    },
    Topic {
        name: "drops beside a capture",
        rows: &[15],
        measure: captures::measure,
    },
    Topic {
        name: "the classifier",
        rows: &[6],
        measure: classifier::measure,
    },
    Topic {
        name: "block lists",
        rows: &[7],
        measure: sets::measure,
    },
    Topic {
        name: "frames over veth",
        rows: &[8, 9],
        measure: wire::measure,
    },
    Topic {
        name: "connections",
        rows: &[10],
        measure: connections::measure,
    },
    Topic {
        name: "one stream",
        rows: &[11],
        measure: stream::measure,
    },
    Topic {
        name: "putting policies in force",
        rows: &[12],
        measure: time::measure,
    },
    Topic {
        name: "memory",
        rows: &[13],
        measure: memory::measure,
    },
];
