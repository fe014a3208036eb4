//! The firewall's programs under a policy, not attached to anything.

use anyhow::Result;
use aya::programs::{ProgramFd, ProgramInfo};
use firewall_agent::{
    compile::compile,
    dataplane::{Dataplane, FlowTable, KernelDataplane, KernelSettings, SlotImage},
    settings::TableSettings,
};
use firewall_common::{
    abi::{ABI_VERSION, names},
    cell::{Cell, Mode},
};
use firewall_tests::{bpffs::Bpffs, host};
use tempfile::TempDir;

/// A loaded dataplane and its entries.
pub(crate) struct Firewall {
    dataplane: KernelDataplane,
    /// At XDP.
    pub(crate) ingress: ProgramFd,
    /// At tc.
    pub(crate) egress: ProgramFd,
    _pins: Bpffs,
    _state: TempDir,
}

impl Firewall {
    /// Loads everything with tables for so many flows, and a policy of these rules.
    pub(crate) fn load(rules: &str, flows: u32) -> Result<Self> {
        let pins = Bpffs::mount()?;
        let state = tempfile::tempdir()?;
        let defaults = TableSettings::default();
        let mut dataplane = KernelDataplane::new(KernelSettings {
            pin_directory: pins.path().join("agent"),
            state_directory: state.path().to_owned(),
            tables: TableSettings {
                flows: defaults.flows.max(flows),
                half_open_flows: defaults.half_open_flows.max(flows),
                ..defaults
            },
            clock_from_cell: false,
        });
        dataplane.adopt_or_create()?;
        let set = pins.path().join(format!("agent/v{ABI_VERSION}"));
        let mut firewall = Self {
            ingress: ProgramInfo::from_pin(set.join(names::XDP_ENTRY))?.fd()?,
            egress: ProgramInfo::from_pin(set.join(names::TC_ENTRY))?.fd()?,
            dataplane,
            _pins: pins,
            _state: state,
        };
        firewall.enforce(rules)?;
        Ok(firewall)
    }

    /// Puts a policy of these rules in force. Rules are counted by their number in the text, from 3 on.
    pub(crate) fn enforce(&mut self, rules: &str) -> Result<()> {
        let policy = host::policy(rules);
        let numbers: std::collections::HashMap<&str, u16> =
            policy.rules.iter().map(|rule| &*rule.name).zip(3..).collect();
        let compiled = compile(&policy)?;
        let bound = compiled.bind(&|name| numbers.get(name).copied().unwrap_or(0), [])?;
        let loaded = self.dataplane.load_generation(
            &SlotImage {
                blocks: bound.blocks(),
                timers: policy.settings.timers,
            },
            &[],
        )?;
        self.dataplane.switch(Cell {
            slot: loaded.slot,
            fallback: loaded.slot,
            mode: Mode::Normal,
            deadline_ticks: None,
        })?;
        Ok(())
    }

    /// Number of assured flows.
    pub(crate) fn assured_flows(&self) -> Result<u32> {
        let mut live = 0;
        self.dataplane.visit_flows(&mut |flow| {
            live += u32::from(flow.table == FlowTable::Assured);
            true
        })?;
        Ok(live)
    }

    /// Packets that a rule has decided itself.
    pub(crate) fn matches(&self, number: u16) -> Result<u64> {
        let counters = self.dataplane.counters(number + 1)?;
        Ok(counters
            .rules
            .get(usize::from(number))
            .map_or(0, |counter| counter.matches))
    }
}
