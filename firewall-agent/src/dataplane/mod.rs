//! The only seam to the kernel: what the agent asks of it, an implementation with aya, and an in-memory fake.
//!
//! A [`Dataplane`] holds up to [`firewall_common::abi::SLOTS`] loaded policies, of which the cell puts one in force for
//! both directions on every attached interface. Everything it makes outlives it: dropping a dataplane changes nothing
//! in the kernel, only [`Dataplane::unload`] does.

mod ban;
mod capture;
mod clock;
mod counters;
mod error;
mod event_stream;
pub mod fake;
mod flow_scan;
mod flow_view;
mod generation;
mod kernel;
mod link;
mod network_changes;
mod reconcile;
mod status;
mod takeover;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use firewall_common::{
    capture::{CaptureCounts, Viewer},
    cell::Cell,
    counters::Hook,
    flow::FlowKey,
    image::Block,
};

pub use ban::{Bans, ban_table};
pub use capture::{CaptureFilter, CaptureReasons, CaptureStream, CapturedFrame};
pub use clock::ClockReading;
pub use counters::CounterSnapshot;
pub use error::{AttachHook, DataplaneError};
pub use event_stream::{EventStream, EventStreamError, Record, RecordStream};
pub use flow_view::{FlowTable, FlowView};
pub use generation::{ImageDigest, LoadedSlot, SlotImage, image_digest};
pub use kernel::{
    DryRun, ImageIdentity, KernelDataplane, KernelSettings, LOOPBACK_INDEX, Rehearsal, Rehearsed, Rehearsing,
    SpareSlot, isolation,
};
pub(crate) use kernel::{driver, give_back_memory, hold_little_memory, vlan_offload};
pub use link::{AttachRequest, AttachedInterface, Link, ModeReason, XdpMode};
pub use network_changes::{NetworkChanges, NetworkChangesError};
pub use reconcile::{Failure, Reconciled, Wanted, reconcile};
pub use status::{AdoptedSlot, Adoption, MapUsage, Repair, SlotStatus, Unloaded};
pub use takeover::{Admission, Listener, SocketFlow, Takeover};

use crate::prefix_set::{Change, Members};
pub use crate::settings::AttachMode;

/// What the agent asks of the kernel.
///
/// Methods block for as long as a few system calls take; [`Dataplane::load_generation`] may take some hundred
/// milliseconds, where the kernel has to verify programs for a larger image.
pub trait Dataplane: Send {
    /// Adopts what is pinned, or makes it anew. To be called once, before anything else.
    ///
    /// A new dataplane filters nothing until an interface is attached, and drops everything but what no policy may
    /// break until a slot is loaded and switched to.
    fn adopt_or_create(&mut self) -> Result<Adoption, DataplaneError>;

    /// The kernel's clock, the way flows and deadlines count it.
    fn clock(&self) -> Result<ClockReading, DataplaneError>;

    /// The cell as it stands; [`Cell::effective`] with [`Dataplane::clock`] says what it means now.
    fn cell(&self) -> Result<Cell, DataplaneError>;

    /// What each slot holds.
    fn slots(&self) -> Result<Vec<SlotStatus>, DataplaneError>;

    /// The slot that the next [`Dataplane::load_generation`] of so many blocks is going to take, where it has no
    /// programs yet. To be verified while others use the dataplane, and then installed; without that, loading does it.
    fn spare_slot(&mut self, blocks: u32) -> Result<Option<SpareSlot>, DataplaneError>;

    /// Takes a spare slot into use. Nothing may have been loaded since it was given out.
    fn install(&mut self, spare: SpareSlot) -> Result<(), DataplaneError>;

    /// Programs that say what the attached ones would say of a frame now, and write nothing, for the policy in a slot. To
    /// be loaded while others use the dataplane. `None` where there is no kernel to ask.
    fn dry_run(&self, slot: u8, hook: Hook) -> Result<Option<DryRun>, DataplaneError>;

    /// Loads a policy into a slot that is neither in force nor a fallback nor among `keep`, and compares what has
    /// arrived with what was given. Nothing is in force until [`Dataplane::switch`].
    fn load_generation(&mut self, image: &SlotImage<'_>, keep: &[u8]) -> Result<LoadedSlot, DataplaneError>;

    /// Gives a slot that is neither in force nor a fallback the members of its block lists. A slot has none after
    /// [`Dataplane::load_generation`].
    fn load_lists(&mut self, slot: u8, members: &Members) -> Result<(), DataplaneError>;

    /// Changes the members of a slot's block lists, also while it is in force, and has its flows judged again; returns
    /// the number of the new judgement. Packets see the lists before or after.
    fn change_lists(&mut self, slot: u8, changes: &[Change]) -> Result<u32, DataplaneError>;

    /// Waits until no packet is under way that was judged by what [`Dataplane::change_lists`] has replaced, and has
    /// the flows judged again that such packets may have opened; returns the number of the new judgement.
    fn settle_lists(&mut self, slot: u8) -> Result<u32, DataplaneError>;

    /// The members of a slot's block lists, as they stand in the kernel.
    fn list_members(&mut self, slot: u8) -> Result<Members, DataplaneError>;

    /// Makes the ban tables hold just these prefixes (see [`ban_table`]). Where any is banned that was not before, the
    /// flows are judged again, whatever slot they belong to. Returns the number of the judgement in force.
    fn set_bans(&mut self, bans: &Bans) -> Result<u32, DataplaneError>;

    /// Puts a cell in force by one store, for both hooks on every interface. Its slots must be loaded.
    fn switch(&mut self, cell: Cell) -> Result<(), DataplaneError>;

    /// The image in a slot, as it stands in the kernel.
    fn read_back(&self, slot: u8) -> Result<Vec<Block>, DataplaneError>;

    /// Writes single blocks of the image in a slot, by number, also while it is in force.
    ///
    /// Meant for the bit vectors of an interface that is not attached yet or no longer (see
    /// [`crate::compile::LiveImage::interface_patch`]): no packet reads those meanwhile.
    fn patch_image(&mut self, slot: u8, patch: &[(u32, Block)]) -> Result<(), DataplaneError>;

    /// The interfaces of this host, in its network namespace.
    fn links(&self) -> Result<Vec<Link>, DataplaneError>;

    /// The number (1 to 63) under which an interface is counted and stands in images. A link that is attached or has
    /// been reserved keeps its number.
    fn reserve_interface(&mut self, link: &Link) -> Result<u8, DataplaneError>;

    /// Attaches to an interface in both directions, or repairs an attachment.
    fn attach(&mut self, request: &AttachRequest<'_>) -> Result<AttachedInterface, DataplaneError>;

    /// Detaches from an interface in both directions and restores what attaching has changed. True where it was
    /// attached.
    fn detach(&mut self, name: &str) -> Result<bool, DataplaneError>;

    /// Cleans up after attached interfaces that are not among `links` any more, and returns them.
    fn forget_gone(&mut self, links: &[Link]) -> Result<Vec<AttachedInterface>, DataplaneError>;

    /// The attached interfaces.
    fn interfaces(&self) -> Vec<AttachedInterface>;

    /// Brings the table of this host's addresses in line with the interfaces; returns how many there are.
    fn sync_local_addresses(&mut self) -> Result<usize, DataplaneError>;

    /// The addresses of this host, broadcast addresses among them.
    fn local_addresses(&self) -> Result<BTreeSet<IpAddr>, DataplaneError>;

    /// Tells when links or addresses have changed. For [`reconcile()`] and [`Dataplane::sync_local_addresses`].
    fn network_changes(&mut self) -> Result<NetworkChanges, DataplaneError>;

    /// The open connections of this host's sockets, those over loopback left out.
    fn connections(&self) -> Result<Vec<SocketFlow>, DataplaneError>;

    /// Sockets of this host that take connections or packets from anybody, those on loopback left out.
    fn listeners(&self) -> Result<Vec<Listener>, DataplaneError>;

    /// Enters the connections that are already open as flows of the policy in `slot`: each one for which `judge`
    /// names the rule that allows it. With `interfaces` only those that are routed through one of them
    /// (by index).
    fn take_over(
        &mut self,
        slot: u8,
        interfaces: Option<&[u32]>,
        judge: &mut dyn FnMut(&SocketFlow) -> Option<Admission>,
    ) -> Result<Takeover, DataplaneError>;

    /// All counters, summed over CPUs; of rules the first `rules` numbers.
    fn counters(&self, rules: u16) -> Result<CounterSnapshot, DataplaneError>;

    /// Sets a rule's counters to zero, for a number that is given to another rule.
    fn clear_rule_counter(&mut self, number: u16) -> Result<(), DataplaneError>;

    /// Number of rule counters that there is room for.
    fn rule_counter_capacity(&self) -> u16;

    /// Shows each live flow to `visit`, as long as it returns true. Flows that packets change meanwhile may be missed.
    fn visit_flows(&self, visit: &mut dyn FnMut(&FlowView) -> bool) -> Result<(), DataplaneError>;

    /// Shows flows that have ended to `visit`, as long as it returns true: those whose last packet came within a time, as
    /// far as their places were not needed since.
    fn visit_ended_flows(
        &self,
        within: Duration,
        visit: &mut dyn FnMut(&FlowView) -> bool,
    ) -> Result<(), DataplaneError>;

    /// Ends the live flows that `which` says true to; returns how many.
    fn delete_flows(&mut self, which: &mut dyn FnMut(&FlowView) -> bool) -> Result<u64, DataplaneError>;

    /// Ends one flow. False where there is none.
    fn delete_flow(&mut self, key: &FlowKey) -> Result<bool, DataplaneError>;

    /// Log events. One reader at a time: a second call takes the events away from the first.
    fn events(&mut self) -> Result<EventStream, DataplaneError>;

    /// Has dropped packets handed to a viewer for so long, unless [`Dataplane::extend_capture`] is called in time; the
    /// kernel side ends it by itself. Each viewer has one stream at a time: a second call replaces the first.
    fn start_capture(
        &mut self,
        viewer: Viewer,
        filter: &CaptureFilter,
        time: Duration,
    ) -> Result<CaptureStream, DataplaneError>;

    /// Has that go on for so long from now.
    fn extend_capture(&mut self, viewer: Viewer, time: Duration) -> Result<(), DataplaneError>;

    /// Ends it, if the viewer looks.
    fn end_capture(&mut self, viewer: Viewer) -> Result<(), DataplaneError>;

    /// What has become of the packets that a viewer wanted, since the maps were made.
    fn capture_counts(&self, viewer: Viewer) -> Result<CaptureCounts, DataplaneError>;

    /// How full the tables are.
    fn map_usage(&self) -> Result<Vec<MapUsage>, DataplaneError>;

    /// Detaches everything, restores what was changed, and removes every trace. Afterwards only
    /// [`Dataplane::adopt_or_create`] may be called.
    fn unload(&mut self) -> Result<Unloaded, DataplaneError>;
}
