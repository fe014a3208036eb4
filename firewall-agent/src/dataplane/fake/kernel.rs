//! What the fake kernel holds, and the handles that a test has on it.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytemuck::Zeroable;
use firewall_common::{
    abi::{ABI_VERSION, SLOTS},
    capture::{CaptureCounts, VIEWERS, Viewer},
    cell::Cell,
    control::{ClockScale, Control, is_capturing},
    counters::{Counter, Hook, INTERFACE_ENTRIES, REASON_ENTRIES, RuleCounter},
    event::Event,
    flow::{Bucket, Flow, FlowKey, Inserted, NewFlow, State, Table, flow_flags},
    image::Block,
    tables::Buckets,
};
use tokio::sync::{mpsc, watch};

use super::FakeDataplane;
use crate::dataplane::{
    AttachMode, AttachRequest, AttachedInterface, Bans, CaptureFilter, CapturedFrame, ClockReading,
    CounterSnapshot, DataplaneError, FlowTable, ImageDigest, Link, Listener, ModeReason, SlotStatus,
    SocketFlow, XdpMode, flow_scan::FlowContext, image_digest,
};
use crate::prefix_set::{HeapMemory, PrefixSets};

pub(super) const FLOW_BUCKETS: usize = 64;
const LIST_BLOCKS: u32 = 4096;
pub(super) const RULE_COUNTERS: u16 = 1024;
pub(super) const SCALE: ClockScale = ClockScale::for_hz(250);

/// Something that a test can make fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `Dataplane::adopt_or_create`.
    Adopt,
    /// `Dataplane::load_generation`: the kernel refuses the programs.
    Load,
    /// `Dataplane::load_lists` and `Dataplane::change_lists`.
    LoadLists,
    /// [`Dataplane::set_bans`](crate::dataplane::Dataplane::set_bans).
    Ban,
    /// `Dataplane::load_generation`: what is read back differs.
    ReadBack,
    /// [`Dataplane::switch`](crate::dataplane::Dataplane::switch).
    Switch,
    /// [`Dataplane::attach`](crate::dataplane::Dataplane::attach).
    Attach,
    /// [`Dataplane::links`](crate::dataplane::Dataplane::links).
    Links,
}

pub(super) struct Slot {
    pub(super) blocks: Vec<Block>,
    pub(super) loaded_digest: ImageDigest,
}

pub(super) struct FewBuckets(pub(super) Vec<Bucket>);

impl FewBuckets {
    pub(super) fn new() -> Self {
        Self((0..FLOW_BUCKETS).map(|_| Bucket::new()).collect())
    }
}

impl Buckets for FewBuckets {
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        self.0.get(usize::try_from(index).ok()?)
    }
}

pub(super) struct Inner {
    pub(super) present: bool,
    pub(super) control: Control,
    pub(super) slots: [Option<Slot>; SLOTS],
    pub(super) lists: Option<PrefixSets<HeapMemory>>,
    pub(super) bans: Bans,
    pub(super) flows: FewBuckets,
    pub(super) half_flows: FewBuckets,
    pub(super) counters: CounterSnapshot,
    pub(super) links: Vec<Link>,
    pub(super) reserved: Vec<(u32, u8)>,
    pub(super) attached: Vec<AttachedInterface>,
    pub(super) addresses: usize,
    pub(super) own_addresses: BTreeSet<IpAddr>,
    pub(super) sockets: Vec<SocketFlow>,
    pub(super) listeners: Vec<Listener>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) events_out: Option<mpsc::UnboundedReceiver<Event>>,
    /// By viewer.
    pub(super) captures: [Option<(CaptureFilter, mpsc::UnboundedSender<CapturedFrame>)>; VIEWERS],
    pub(super) capture_counts: [CaptureCounts; VIEWERS],
    pub(super) changes: watch::Sender<u64>,
    pub(super) failing: BTreeSet<Operation>,
    pub(super) ends_flows_at_switch: bool,
}

/// A kernel, with the handles that a test needs. Clones are the same kernel.
#[derive(Clone)]
pub struct FakeKernel(Arc<Mutex<Inner>>);

impl std::fmt::Debug for FakeKernel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FakeKernel").finish_non_exhaustive()
    }
}

impl Default for FakeKernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn is_capturing(&self, viewer: Viewer) -> bool {
        let until = self.control.viewer_until_ticks[viewer as usize];
        is_capturing(until, self.control.clock_cell_ticks)
    }
}

impl FakeKernel {
    /// A kernel with a loopback interface and nothing loaded.
    #[must_use]
    pub fn new() -> Self {
        let (events, events_out) = mpsc::unbounded_channel();
        Self(Arc::new(Mutex::new(Inner {
            present: false,
            control: Control::zeroed(),
            slots: Default::default(),
            lists: None,
            bans: Bans::new(),
            flows: FewBuckets::new(),
            half_flows: FewBuckets::new(),
            counters: CounterSnapshot::default(),
            links: vec![Link {
                loopback: true,
                ..Self::link(1, "lo")
            }],
            reserved: Vec::new(),
            attached: Vec::new(),
            addresses: 0,
            own_addresses: BTreeSet::new(),
            sockets: Vec::new(),
            listeners: Vec::new(),
            events,
            events_out: Some(events_out),
            changes: watch::Sender::new(0),
            captures: Default::default(),
            capture_counts: Default::default(),
            failing: BTreeSet::new(),
            ends_flows_at_switch: false,
        })))
    }

    /// A dataplane on this kernel: what a freshly started agent has.
    #[must_use]
    pub fn dataplane(&self) -> FakeDataplane {
        FakeDataplane::new(self.clone())
    }

    /// A link as [`FakeKernel::add_link`] wants it: Ethernet, on its own.
    #[must_use]
    pub fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            arphrd: 1,
            loopback: false,
            master: None,
            lower: None,
            kind: None,
            mtu: Some(1500),
            xdp_program: None,
            xdp_mode: None,
        }
    }

    /// Adds a link and tells of it.
    pub fn add_link(&self, link: Link) {
        self.change(|inner| inner.links.push(link));
    }

    /// Removes a link and tells of it.
    pub fn remove_link(&self, name: &str) {
        self.change(|inner| inner.links.retain(|link| link.name != name));
    }

    /// Sets the number of this host's addresses and tells of it.
    pub fn set_addresses(&self, addresses: usize) {
        self.change(|inner| inner.addresses = addresses);
    }

    /// Sets this host's addresses themselves, for [`Dataplane::local_addresses`](crate::dataplane::Dataplane::local_addresses).
    pub fn set_own_addresses(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.lock().own_addresses = addresses.into_iter().collect();
    }

    /// What the ban tables hold.
    #[must_use]
    pub fn bans(&self) -> Bans {
        self.lock().bans.clone()
    }

    /// Sets the open sockets that [`Dataplane::take_over`](crate::dataplane::Dataplane::take_over) finds.
    pub fn set_sockets(&self, sockets: Vec<SocketFlow>) {
        self.lock().sockets = sockets;
    }

    /// Sets the sockets that take connections.
    pub fn set_listeners(&self, listeners: Vec<Listener>) {
        self.lock().listeners = listeners;
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        let mut inner = self.lock();
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        inner.control.clock_cell_ticks = inner.control.clock_cell_ticks.wrapping_add(SCALE.ticks(seconds));
    }

    /// Lets an operation fail until [`FakeKernel::mend`].
    pub fn fail(&self, operation: Operation) {
        self.lock().failing.insert(operation);
    }

    /// Lets an operation work again.
    pub fn mend(&self, operation: Operation) {
        self.lock().failing.remove(&operation);
    }

    /// Lets each switch find no flows: as if a packet of each had come just before, and the policy in force had ended
    /// it.
    pub fn end_flows_at_switch(&self) {
        self.lock().ends_flows_at_switch = true;
    }

    /// Stores a cell, as another program might.
    pub fn set_cell(&self, cell: Cell) {
        self.lock().control.cell = cell.pack();
    }

    /// Sends an event, as if a packet had caused it.
    pub fn send_event(&self, event: Event) {
        // Nobody may be reading; the kernel does not mind either.
        let _unread = self.lock().events.send(event);
    }

    /// Drops a packet; true where somebody looks who wants it.
    pub fn drop_packet(&self, frame: &CapturedFrame) -> bool {
        // Each of them is asked.
        [Viewer::Capture, Viewer::Shadow].map(|viewer| self.show(viewer, frame)) != [false; VIEWERS]
    }

    fn show(&self, viewer: Viewer, frame: &CapturedFrame) -> bool {
        let mut inner = self.lock();
        if !inner.is_capturing(viewer) {
            return false;
        }
        let hook = if frame.head.hook == Hook::Ingress as u8 {
            Hook::Ingress
        } else {
            Hook::Egress
        };
        let Some((filter, packets)) = &inner.captures[viewer as usize] else {
            return false;
        };
        let settings = filter.settings();
        if !settings.is_some_and(|settings| settings.takes(&frame.head.cause, hook, frame.head.interface)) {
            return false;
        }
        // Nobody may be reading; the kernel does not mind either.
        let _unread = packets.send(frame.clone());
        inner.capture_counts[viewer as usize].captured += 1;
        true
    }

    /// Whether dropped packets are handed to a viewer.
    #[must_use]
    pub fn is_capturing(&self, viewer: Viewer) -> bool {
        self.lock().is_capturing(viewer)
    }

    /// Changes the counters.
    pub fn set_counters(&self, change: impl FnOnce(&mut CounterSnapshot)) {
        change(&mut self.lock().counters);
    }

    /// Enters a flow, as if packets had opened it.
    pub fn insert_flow(&self, table: FlowTable, key: FlowKey, state: State, rule: u16) -> Inserted {
        self.insert_flow_of(table, key, state, rule, None)
    }

    /// The same, of a rule that ends by itself after a while.
    pub fn insert_flow_of(
        &self,
        table: FlowTable,
        key: FlowKey,
        state: State,
        rule: u16,
        lasts: Option<Duration>,
    ) -> Inserted {
        let inner = self.lock();
        let clock = inner.clock();
        let (slot, _) = Cell::effective(inner.control.cell, clock.now_ticks);
        let new = NewFlow {
            key,
            flow: Flow {
                seen_ticks: clock.now_ticks,
                state,
                flags: flow_flags::OPENED_BY_REMOTE,
                rule,
            }
            .pack(),
            epoch: inner.epoch(slot),
            expires_ticks: lasts.map_or(0, |lasts| clock.deadline(lasts).max(1)),
            local_acknowledgement: 0,
            opened_ticks: clock.now_ticks,
        };
        inner.insert(table, &new)
    }

    /// Overwrites a block of a loaded image, as something else on the host might.
    pub fn corrupt(&self, slot: u8, block: usize) {
        let mut inner = self.lock();
        if let Some(block) = inner
            .slots
            .get_mut(usize::from(slot))
            .and_then(Option::as_mut)
            .and_then(|slot| slot.blocks.get_mut(block))
        {
            block.0[7] ^= 1;
        }
    }

    /// Whether anything is loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.lock().present
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        change(&mut inner);
        inner.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(super) const fn clock(&self) -> ClockReading {
        ClockReading {
            scale: SCALE,
            now_ticks: self.control.clock_cell_ticks,
        }
    }

    pub(super) fn epoch(&self, slot: u8) -> u32 {
        self.control
            .slots
            .get(usize::from(slot))
            .map_or(0, |slot| slot.epoch)
    }

    pub(super) fn insert(&self, table: FlowTable, new: &NewFlow) -> Inserted {
        let context = FlowContext::of(&self.control, self.clock());
        let buckets = match table {
            FlowTable::Assured => &self.flows,
            FlowTable::Half => &self.half_flows,
        };
        let mask = self.control.flow_mask;
        Table { buckets, mask }.insert(
            new,
            new.key.hash(&self.control.seed),
            &context.timeouts,
            table == FlowTable::Half,
        )
    }

    pub(super) fn status(&self, slot: usize) -> Option<SlotStatus> {
        let loaded = self.slots.get(slot)?.as_ref()?;
        let blocks = u32::try_from(loaded.blocks.len()).ok()?;
        Some(SlotStatus {
            slot: u8::try_from(slot).ok()?,
            epoch: self.control.slots.get(slot)?.epoch,
            digest: image_digest(&loaded.blocks),
            blocks,
            capacity: blocks,
        })
    }

    pub(super) fn lists(&mut self) -> &mut PrefixSets<HeapMemory> {
        self.lists
            .get_or_insert_with(|| PrefixSets::new(HeapMemory::new(LIST_BLOCKS)))
    }

    pub(super) fn judge_again(&mut self, slot: u8) -> Result<u32, DataplaneError> {
        let newest = self.control.slots.iter().map(|slot| slot.epoch).max();
        let epoch = newest.unwrap_or(0) + 1;
        let settings = self.control.slots.get_mut(usize::from(slot));
        settings.ok_or(DataplaneError::SlotEmpty { slot })?.epoch = epoch;
        Ok(epoch)
    }

    pub(super) fn check(&self, operation: Operation, action: &'static str) -> Result<(), DataplaneError> {
        if self.failing.contains(&operation) {
            return Err(DataplaneError::Syscall {
                action,
                source: std::io::Error::other("the test wants it to fail"),
            });
        }
        Ok(())
    }

    pub(super) fn free_slot(&self, keep: &[u8]) -> Option<u8> {
        let cell = Cell::unpack(self.control.cell);
        (0u8..)
            .take(SLOTS)
            .find(|slot| *slot != cell.slot && *slot != cell.fallback && !keep.contains(slot))
    }

    pub(super) fn create(&mut self) {
        let buckets = u32::try_from(FLOW_BUCKETS).unwrap_or(1);
        self.present = true;
        self.lists = None;
        self.bans = Bans::new();
        self.control = Control {
            seed: [1, 2, 3, 4],
            abi_version: ABI_VERSION,
            clock_shift: SCALE.shift,
            clock_cell_ticks: self.control.clock_cell_ticks,
            ..Control::zeroed().with_flow_tables(buckets, buckets)
        };
        self.counters = CounterSnapshot {
            rules: vec![RuleCounter::default(); usize::from(RULE_COUNTERS)],
            reasons: vec![Counter::default(); REASON_ENTRIES as usize],
            interfaces: vec![Counter::default(); INTERFACE_ENTRIES as usize],
            lost_events: 0,
        };
    }

    pub(super) fn mode_of(request: &AttachRequest<'_>) -> (XdpMode, ModeReason) {
        let driver = request
            .link
            .kind
            .clone()
            .unwrap_or_else(|| "virtio_net".to_owned());
        match request.mode {
            AttachMode::Native => (XdpMode::Native, ModeReason::Configured),
            AttachMode::Generic => (XdpMode::Generic, ModeReason::Configured),
            AttachMode::Auto if driver == "veth" => {
                (XdpMode::Generic, ModeReason::DriverPrefersGeneric { driver })
            }
            AttachMode::Auto => (XdpMode::Native, ModeReason::DriverNative { driver }),
        }
    }
}
