//! The firewall's programs under a policy.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result};
use aya::programs::{ProgramFd, ProgramInfo};
use firewall_agent::{
    compile::compile,
    dataplane::{
        AttachMode, AttachRequest, CaptureFilter, CaptureStream, Dataplane, FlowTable, KernelDataplane,
        KernelSettings, Rehearsing, SlotImage,
    },
    policy::model::ValidPolicy,
    prefix_set::Change,
    settings::TableSettings,
};
use firewall_common::{
    abi::{ABI_VERSION, names},
    capture::Viewer,
    cell::{Cell, Mode},
    counters::{DEFAULT_COUNTERS, Hook},
    flow::BUCKET_WAYS,
    image::BLOCK_BYTES,
    prefix_set::SLOT_ROOTS,
    reason::Reason,
};
use firewall_tests::bpffs::Bpffs;
use tempfile::TempDir;

/// Counters for 50,000 rules and the defaults.
const RULE_COUNTERS: u32 = 50_000 + DEFAULT_COUNTERS as u32;

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
    /// Loads everything with tables as they are by default, or for so many flows if that is more, and puts a policy in
    /// force. For a thread in the network namespace whose interfaces it is to be attached to.
    pub(crate) fn load(policy: &ValidPolicy, flows: u32) -> Result<Self> {
        Self::load_with(policy, flows, false)
    }

    /// The same, with a clock that stands still but for [`Self::wait`].
    pub(crate) fn load_with_own_clock(policy: &ValidPolicy, flows: u32) -> Result<Self> {
        let firewall = Self::load_with(policy, flows, true)?;
        firewall.wait(1)?;
        Ok(firewall)
    }

    /// Lets time pass by a clock of its own.
    pub(crate) fn wait(&self, seconds: u32) -> Result<()> {
        let clock = self.dataplane.clock()?;
        let later = clock.deadline(Duration::from_secs(seconds.into()));
        Ok(self.dataplane.set_clock(later)?)
    }

    fn load_with(policy: &ValidPolicy, flows: u32, clock_from_cell: bool) -> Result<Self> {
        let defaults = TableSettings::default();
        let pins = Bpffs::mount()?;
        let state = tempfile::tempdir()?;
        let mut dataplane = KernelDataplane::new(KernelSettings {
            pin_directory: pins.path().join("agent"),
            state_directory: state.path().to_owned(),
            tables: TableSettings {
                flows: defaults.flows.max(flows),
                half_open_flows: defaults.half_open_flows.max(flows),
                // For the largest of the policies that are measured.
                rule_counters: defaults.rule_counters.max(RULE_COUNTERS),
                ..defaults
            },
            clock_from_cell,
            rehearsing: Rehearsing::No,
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
        firewall.enforce(policy)?;
        Ok(firewall)
    }

    /// Puts a policy in force. Rules are counted by their place in it, from [`DEFAULT_COUNTERS`] on.
    pub(crate) fn enforce(&mut self, policy: &ValidPolicy) -> Result<()> {
        let numbers: HashMap<&str, u16> = policy
            .rules
            .iter()
            .map(|rule| &*rule.name)
            .zip(DEFAULT_COUNTERS..)
            .collect();
        let compiled = compile(policy)?;
        let bound = compiled.bind(&|name| numbers.get(name).copied().unwrap_or(0), [])?;
        let loaded = self.dataplane.load_generation(
            &SlotImage {
                blocks: bound.blocks(),
                timers: policy.settings.timers,
            },
            &[],
        )?;
        self.dataplane.load_lists(loaded.slot, &policy.listed())?;
        self.dataplane.switch(Cell {
            slot: loaded.slot,
            fallback: loaded.slot,
            mode: Mode::Normal,
            deadline_ticks: None,
        })?;
        Ok(())
    }

    /// Has the slot that the next policy takes made ready for an image of the size that this one has: what the agent does
    /// ahead of changes.
    pub(crate) fn prepare(&mut self, policy: &ValidPolicy) -> Result<()> {
        let blocks = u32::try_from(compile(policy)?.blocks().len())?;
        if let Some(mut spare) = self.dataplane.spare_slot(blocks)? {
            spare.verify()?;
            self.dataplane.install(spare)?;
        }
        Ok(())
    }

    /// Attaches to an interface in both directions.
    pub(crate) fn attach(&mut self, interface: &str, mode: AttachMode) -> Result<()> {
        let links = self.dataplane.links()?;
        let link = links
            .iter()
            .find(|link| link.name == interface)
            .with_context(|| format!("no interface {interface}"))?;
        self.dataplane.attach(&AttachRequest {
            link,
            mode,
            needs_vlan_tags: false,
        })?;
        self.dataplane.sync_local_addresses()?;
        Ok(())
    }

    /// Changes what the block list in force has of an address.
    pub(crate) fn change_list(&mut self, address: u32, inside: Vec<(u32, u32)>) -> Result<()> {
        let slot = self.dataplane.cell()?.slot;
        let change = Change::V4 {
            first: address,
            last: address,
            inside,
        };
        self.dataplane.change_lists(slot, &[change])?;
        Ok(())
    }

    /// Bytes that the block list in force takes of its maps: root entries and blocks.
    pub(crate) fn list_bytes(&self) -> Result<u64> {
        let usage = self.dataplane.map_usage()?;
        let blocks = usage.iter().find(|usage| usage.map == names::LIST_BLOCKS);
        let blocks = blocks.context("there is no block list")?.entries;
        Ok(blocks * BLOCK_BYTES as u64 + u64::from(SLOT_ROOTS) * 8)
    }

    /// Has dropped packets handed to a viewer for a minute. To be called within a tokio runtime.
    pub(crate) fn look(&mut self, viewer: Viewer, filter: &CaptureFilter) -> Result<CaptureStream> {
        Ok(self
            .dataplane
            .start_capture(viewer, filter, Duration::from_mins(1))?)
    }

    /// Hands it no more.
    pub(crate) fn look_away(&mut self, viewer: Viewer) -> Result<()> {
        Ok(self.dataplane.end_capture(viewer)?)
    }

    /// Packets that a viewer was handed so far.
    pub(crate) fn taken(&self, viewer: Option<Viewer>) -> Result<u64> {
        let counts = viewer.map(|viewer| self.dataplane.capture_counts(viewer));
        Ok(counts.transpose()?.unwrap_or_default().captured)
    }

    /// Buckets of the table of assured flows.
    pub(crate) fn flow_buckets(&self) -> Result<u32> {
        let usage = self.dataplane.map_usage()?;
        let flows = usage.iter().find(|usage| usage.map == names::FLOWS);
        let places = flows.context("there is no table of flows")?.capacity;
        Ok(u32::try_from(places / BUCKET_WAYS as u64)?)
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

    /// Packets that came in and that the block list has dropped.
    pub(crate) fn listed(&self) -> Result<u64> {
        let counters = self.dataplane.counters(DEFAULT_COUNTERS)?;
        Ok(counters.reason(Hook::Ingress, Reason::Listed).packets)
    }

    /// Packets that a rule of the policy has decided itself; rules are numbered from 0.
    pub(crate) fn matches(&self, rule: u16) -> Result<u64> {
        let number = DEFAULT_COUNTERS + rule;
        let counters = self.dataplane.counters(number + 1)?;
        Ok(counters
            .rules
            .get(usize::from(number))
            .map_or(0, |counter| counter.matches))
    }
}
