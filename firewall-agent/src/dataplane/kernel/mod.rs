//! The dataplane in the kernel, with aya.
//!
//! One file per noun; all `unsafe` is in `sys`, `mapped` and `ethtool`.

mod addresses;
mod admin;
mod adopt;
mod attach;
mod bans;
mod capture;
mod clock;
mod compact;
mod counters;
mod dry_run;
mod ethtool;
mod flow_map;
mod flows;
mod interfaces;
pub mod isolation;
mod links;
mod lists;
mod mapped;
mod maps;
mod netlink;
mod object;
mod pins;
mod programs;
mod rehearsal;
mod routes;
mod session;
mod slots;
mod sockets;
mod spare;
mod state;
mod sys;
mod unload;
mod usage;

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use aya::maps::RingBuf;
use firewall_common::{
    abi::{SLOTS, names},
    capture::{CaptureCounts, Viewer},
    cell::Cell,
    counters::Hook,
    flow::FlowKey,
    image::Block,
    interface::{InterfaceRecord, LinkType},
};

use super::{
    Admission, Adoption, AttachRequest, AttachedInterface, Bans, CaptureFilter, CaptureStream, ClockReading,
    CounterSnapshot, Dataplane, DataplaneError, EventStream, FlowView, Link, Listener, LoadedSlot, MapUsage,
    NetworkChanges, SlotImage, SlotStatus, SocketFlow, Takeover, Unloaded,
};
use crate::{
    prefix_set::{Change, Members},
    settings::{Settings, TableSettings},
};
pub use dry_run::{DryRun, ImageIdentity};
pub(crate) use ethtool::{driver, vlan_offload};
pub use rehearsal::{LOOPBACK_INDEX, Rehearsal, Rehearsed, Rehearsing};
use session::Session;
pub use spare::SpareSlot;
pub(crate) use sys::{give_back_memory, hold_little_memory};

/// Where a dataplane lives, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSettings {
    /// Where everything is pinned: a directory on a BPF file system, made where it is missing, one per agent.
    pub pin_directory: PathBuf,
    /// Where the file lies that says what cannot be asked of the kernel.
    pub state_directory: PathBuf,
    /// Sizes of the tables, for a dataplane that is made anew.
    pub tables: TableSettings,
    /// The programs take the time from the control record, which [`KernelDataplane::set_clock`] sets: for tests and
    /// replay.
    pub clock_from_cell: bool,
    /// Whether the programs judge the host's packets, or rehearse.
    pub rehearsing: Rehearsing,
}

impl From<&Settings> for KernelSettings {
    fn from(settings: &Settings) -> Self {
        Self {
            pin_directory: settings.pin_dir.clone(),
            state_directory: settings.state_dir.clone(),
            tables: settings.tables,
            clock_from_cell: false,
            rehearsing: Rehearsing::No,
        }
    }
}

/// A [`Dataplane`] in the kernel.
#[derive(Debug)]
pub struct KernelDataplane {
    settings: KernelSettings,
    session: Option<Session>,
}

impl KernelDataplane {
    /// One that is not open yet.
    #[must_use]
    pub const fn new(settings: KernelSettings) -> Self {
        Self {
            settings,
            session: None,
        }
    }

    /// Sets the time of programs that take it from the control record.
    pub fn set_clock(&self, ticks: u32) -> Result<(), DataplaneError> {
        self.session()?.maps.control.set_clock(ticks);
        Ok(())
    }

    /// Sets the secret of the flow table's hash, which says what flow gives way to which. For replays that are compared.
    pub fn set_seed(&self, seed: [u64; 4]) -> Result<(), DataplaneError> {
        self.session()?.maps.control.set_seed(seed);
        Ok(())
    }

    /// Has `lo` stand in for an interface of this number and kind: for rehearsals, whose interfaces need not exist.
    pub fn let_loopback_be(&mut self, slot: u8, link_type: LinkType) -> Result<(), DataplaneError> {
        let record = InterfaceRecord {
            index: LOOPBACK_INDEX,
            slot,
            link_type: link_type as u8,
            reserved: 0,
        };
        let interfaces = &mut self.session_mut()?.maps.interfaces;
        interfaces.register(record, "lo").map(drop)
    }

    /// Gives the host addresses that no interface has.
    pub fn add_local_addresses(&mut self, addresses: &[IpAddr]) -> Result<(), DataplaneError> {
        session::enter_local(self.session_mut()?, addresses)
    }

    /// The programs of a hook, to be put to frames, where the dataplane is there for that.
    pub fn rehearsal(&self, hook: Hook) -> Result<Rehearsal, DataplaneError> {
        Rehearsal::open(&self.session()?.pins, hook)
    }

    fn session(&self) -> Result<&Session, DataplaneError> {
        self.session.as_ref().ok_or(DataplaneError::NotOpen)
    }

    fn session_mut(&mut self) -> Result<&mut Session, DataplaneError> {
        self.session.as_mut().ok_or(DataplaneError::NotOpen)
    }
}

impl Dataplane for KernelDataplane {
    fn adopt_or_create(&mut self) -> Result<Adoption, DataplaneError> {
        let (session, adoption) = adopt::adopt_or_create(&self.settings)?;
        self.session = Some(session);
        Ok(adoption)
    }

    fn clock(&self) -> Result<ClockReading, DataplaneError> {
        self.session()?.clock()
    }

    fn cell(&self) -> Result<Cell, DataplaneError> {
        Ok(Cell::unpack(self.session()?.maps.control.cell()))
    }

    fn slots(&self) -> Result<Vec<SlotStatus>, DataplaneError> {
        let session = self.session()?;
        let control = session.control();
        (0u8..)
            .take(SLOTS)
            .filter_map(|slot| session.slots.status(&control, slot).transpose())
            .collect()
    }

    fn load_generation(&mut self, image: &SlotImage<'_>, keep: &[u8]) -> Result<LoadedSlot, DataplaneError> {
        self.session_mut()?.load_generation(image, keep)
    }

    fn spare_slot(&mut self, blocks: u32) -> Result<Option<SpareSlot>, DataplaneError> {
        self.session_mut()?.spare_slot(blocks)
    }

    fn install(&mut self, spare: SpareSlot) -> Result<(), DataplaneError> {
        let installed = self.session_mut()?.install(spare);
        // The programs are loaded; what that took is not needed until the next policy but one.
        give_back_memory();
        installed
    }

    fn dry_run(&self, slot: u8, hook: Hook) -> Result<Option<DryRun>, DataplaneError> {
        let session = self.session()?;
        session.slots.check_loaded(&session.control(), slot)?;
        DryRun::new(&session.pins, &session.options, slot, hook).map(Some)
    }

    fn load_lists(&mut self, slot: u8, members: &Members) -> Result<(), DataplaneError> {
        let session = self.session_mut()?;
        let outcome = session.load_lists(slot, members);
        session.close_lists();
        outcome
    }

    fn change_lists(&mut self, slot: u8, changes: &[Change]) -> Result<u32, DataplaneError> {
        let session = self.session_mut()?;
        let outcome = session.change_lists(slot, changes);
        session.close_lists();
        outcome
    }

    fn settle_lists(&mut self, slot: u8) -> Result<u32, DataplaneError> {
        let session = self.session_mut()?;
        let outcome = session.settle_lists(slot);
        session.close_lists();
        outcome
    }

    fn list_members(&mut self, slot: u8) -> Result<Members, DataplaneError> {
        let session = self.session_mut()?;
        let outcome = session.list_members(slot);
        session.close_lists();
        outcome
    }

    fn set_bans(&mut self, bans: &Bans) -> Result<u32, DataplaneError> {
        self.session_mut()?.set_bans(bans)
    }

    fn switch(&mut self, cell: Cell) -> Result<(), DataplaneError> {
        let session = self.session()?;
        let control = session.control();
        for slot in [cell.slot, cell.fallback] {
            session.slots.check_loaded(&control, slot)?;
        }
        session.maps.control.store_cell(cell.pack());
        Ok(())
    }

    fn read_back(&self, slot: u8) -> Result<Vec<Block>, DataplaneError> {
        let session = self.session()?;
        session.slots.read_back(&session.control(), slot)
    }

    fn patch_image(&mut self, slot: u8, patch: &[(u32, Block)]) -> Result<(), DataplaneError> {
        self.session_mut()?.patch_image(slot, patch)
    }

    fn links(&self) -> Result<Vec<Link>, DataplaneError> {
        session::list_links()
    }

    fn reserve_interface(&mut self, link: &Link) -> Result<u8, DataplaneError> {
        self.session_mut()?.numbers.reserve(link.index, &link.name)
    }

    fn attach(&mut self, request: &AttachRequest<'_>) -> Result<AttachedInterface, DataplaneError> {
        self.session_mut()?.attach(request)
    }

    fn detach(&mut self, name: &str) -> Result<bool, DataplaneError> {
        self.session_mut()?.detach(name)
    }

    fn forget_gone(&mut self, links: &[Link]) -> Result<Vec<AttachedInterface>, DataplaneError> {
        self.session_mut()?.forget_gone(links)
    }

    fn interfaces(&self) -> Vec<AttachedInterface> {
        self.session
            .as_ref()
            .map(|session| session.attached.clone())
            .unwrap_or_default()
    }

    fn sync_local_addresses(&mut self) -> Result<usize, DataplaneError> {
        self.session_mut()?.sync_local_addresses()
    }

    fn local_addresses(&self) -> Result<BTreeSet<IpAddr>, DataplaneError> {
        session::list_addresses()
    }

    fn network_changes(&mut self) -> Result<NetworkChanges, DataplaneError> {
        NetworkChanges::subscribe().map_err(|source| DataplaneError::Netlink {
            action: "subscribe to changes",
            source,
        })
    }

    fn connections(&self) -> Result<Vec<SocketFlow>, DataplaneError> {
        flows::open_connections(None)
    }

    fn listeners(&self) -> Result<Vec<Listener>, DataplaneError> {
        sockets::listeners().map_err(|source| DataplaneError::Netlink {
            action: "list sockets",
            source,
        })
    }

    fn take_over(
        &mut self,
        slot: u8,
        interfaces: Option<&[u32]>,
        judge: &mut dyn FnMut(&SocketFlow) -> Option<Admission>,
    ) -> Result<Takeover, DataplaneError> {
        let session = self.session_mut()?;
        if session.has_lists(slot) {
            session.open_lists()?;
        }
        let outcome = session.take_over(slot, interfaces, judge);
        session.close_lists();
        outcome
    }

    fn counters(&self, rules: u16) -> Result<CounterSnapshot, DataplaneError> {
        counters::snapshot(&self.session()?.maps, rules)
    }

    fn clear_rule_counter(&mut self, number: u16) -> Result<(), DataplaneError> {
        counters::clear(&self.session()?.pins, number)
    }

    fn rule_counter_capacity(&self) -> u16 {
        let capacity = match &self.session {
            Some(session) => session.maps.sizes.rule_counters,
            None => self.settings.tables.rule_counters,
        };
        u16::try_from(capacity).unwrap_or(u16::MAX)
    }

    fn visit_flows(&self, visit: &mut dyn FnMut(&FlowView) -> bool) -> Result<(), DataplaneError> {
        self.session()?.visit_flows(visit)
    }

    fn visit_ended_flows(
        &self,
        within: Duration,
        visit: &mut dyn FnMut(&FlowView) -> bool,
    ) -> Result<(), DataplaneError> {
        self.session()?.visit_ended_flows(within, visit)
    }

    fn delete_flows(&mut self, which: &mut dyn FnMut(&FlowView) -> bool) -> Result<u64, DataplaneError> {
        self.session()?.delete_flows(which)
    }

    fn delete_flow(&mut self, key: &FlowKey) -> Result<bool, DataplaneError> {
        Ok(self.session()?.delete_flow(key))
    }

    fn events(&mut self) -> Result<EventStream, DataplaneError> {
        let ring: RingBuf<aya::maps::MapData> = maps::typed(&self.session()?.pins, names::EVENTS)?;
        EventStream::from_ring(ring).map_err(|source| DataplaneError::Syscall {
            action: "wait for events",
            source,
        })
    }

    fn start_capture(
        &mut self,
        viewer: Viewer,
        filter: &CaptureFilter,
        time: Duration,
    ) -> Result<CaptureStream, DataplaneError> {
        self.session()?.start_capture(viewer, filter, time)
    }

    fn extend_capture(&mut self, viewer: Viewer, time: Duration) -> Result<(), DataplaneError> {
        self.session()?.extend_capture(viewer, time)
    }

    fn end_capture(&mut self, viewer: Viewer) -> Result<(), DataplaneError> {
        self.session()?.end_capture(viewer)
    }

    fn capture_counts(&self, viewer: Viewer) -> Result<CaptureCounts, DataplaneError> {
        counters::captures(&self.session()?.pins, viewer)
    }

    fn map_usage(&self) -> Result<Vec<MapUsage>, DataplaneError> {
        self.session()?.map_usage()
    }

    fn unload(&mut self) -> Result<Unloaded, DataplaneError> {
        self.session = None;
        unload::unload(&self.settings)
    }
}
