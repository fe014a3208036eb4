//! What the monitoring reads, in one visit to the kernel.

use std::time::Duration;

use firewall_common::{
    cell::{Cell, Mode},
    flow::STATES,
};

use super::{
    agent::Agent,
    report::{self, kernel_failure},
};
use crate::{
    control::protocol::{Counters, Failure, TableUse},
    dataplane::{AttachedInterface, DataplaneError},
};

/// What the kernel says at one moment.
#[derive(Debug)]
pub(crate) struct Readings {
    /// Every reason is among them, those that have decided nothing as well.
    pub(crate) counters: Counters,
    pub(crate) interfaces: Vec<AttachedInterface>,
    /// Interfaces that should be attached, and are not.
    pub(crate) interface_failures: usize,
    pub(crate) tables: Vec<TableUse>,
    /// Log events that found no room.
    pub(crate) lost_events: u64,
    pub(crate) mode: Mode,
    /// Bans that hold.
    pub(crate) bans: usize,
    /// Time that the change in force has left to be confirmed, if it has to be.
    pub(crate) confirm_left: Option<Duration>,
    /// Live flows by number of their state.
    pub(crate) flows: [u64; STATES],
}

impl Agent {
    /// Reads everything that is measured.
    pub(crate) fn readings(&self) -> Result<Readings, Failure> {
        let (in_force, counters) = self.counted()?;
        let bans = self.ban_count()?;
        let kernel = self.kernel();
        let dataplane = &kernel.dataplane;
        let interfaces = dataplane.interfaces();
        let read = || -> Result<_, DataplaneError> {
            let mut flows = [0; STATES];
            dataplane.visit_flows(&mut |view| {
                flows[view.flow.state as usize] += 1;
                true
            })?;
            let (_, mode) = Cell::effective(dataplane.cell()?.pack(), dataplane.clock()?.now_ticks);
            Ok((flows, mode, dataplane.map_usage()?))
        };
        let (flows, mode, tables) = read().map_err(|error| kernel_failure(&error))?;
        Ok(Readings {
            counters: Counters {
                rules: report::rule_counts(&in_force, &counters),
                reasons: report::reason_counts(&counters).collect(),
                interfaces: report::interface_counts(&interfaces, &counters),
            },
            interfaces,
            interface_failures: kernel.failures.len(),
            tables: report::tables(&in_force, tables),
            lost_events: counters.lost_events,
            mode,
            bans,
            confirm_left: kernel.time_left().ok().flatten().filter(|left| !left.is_zero()),
            flows,
        })
    }
}
