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
    /// Whether a first look has them, too.
    pub(crate) quick: bool,
    /// Measures them.
    pub(crate) measure: fn(&Bench, &mut Report) -> Result<()>,
}

/// All of them.
pub(crate) const TOPICS: [Topic; 11] = [
    Topic {
        name: "live flows",
        rows: &[1, 2, 14],
        quick: true,
        measure: live::measure,
    },
    Topic {
        name: "flows that end",
        rows: &[2],
        quick: false,
        measure: ended::measure,
    },
    Topic {
        name: "first packets",
        rows: &[3, 4, 5, 6],
        quick: true,
        measure: rules::measure,
    },
    Topic {
        name: "drops beside a capture",
        rows: &[15],
        quick: true,
        measure: captures::measure,
    },
    Topic {
        name: "the classifier",
        rows: &[6],
        quick: false,
        measure: classifier::measure,
    },
    Topic {
        name: "block lists",
        rows: &[7],
        quick: true,
        measure: sets::measure,
    },
    Topic {
        name: "frames over veth",
        rows: &[8, 9],
        quick: true,
        measure: wire::measure,
    },
    Topic {
        name: "connections",
        rows: &[10],
        quick: true,
        measure: connections::measure,
    },
    Topic {
        name: "one stream",
        rows: &[11],
        quick: true,
        measure: stream::measure,
    },
    Topic {
        name: "putting policies in force",
        rows: &[12],
        quick: true,
        measure: time::measure,
    },
    Topic {
        name: "memory",
        rows: &[13],
        quick: false,
        measure: memory::measure,
    },
];
