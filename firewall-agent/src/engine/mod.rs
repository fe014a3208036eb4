//! The packet path in user space: the code that the kernel programs run, over collections instead of maps.
//!
//! Tests, explanations and replays ask it what the kernel side would say of a frame, at a time of their choosing.

mod frame;
mod tables;

use bytemuck::Zeroable;
use firewall_common::{
    abi::{ABI_VERSION, SLOTS},
    address::Address,
    cell::{Cell, Mode},
    classify,
    control::{ClockScale, Control, SlotControl, slot_flags},
    counters::Hook,
    flow::{Inserted, NewFlow, Table, Timeouts},
    headers::{self, Headers},
    image::Block,
    interface::LinkType,
    judge::{self, Assured, Env, LiveFlows, Work},
    plain::{Plain, PlainRecord},
    prefix_set::Entry,
    reason::Reason,
    tables::{SliceImage, SlowTables},
    verdict::Decision,
};

pub use frame::Segment;
pub use tables::{HostBuckets, HostTables};

use crate::prefix_set::{Change, Full, Members};

/// Secret of a host's flow tables, which keeps no secret.
pub const SEED: [u64; 4] = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0x2545_f491_4f6c_dd1d,
];

/// How much a [`HostEngine`] has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Buckets of each flow table, of seven flows each; a power of two.
    pub buckets: u32,
    /// Blocks of 64 bytes for the members of block lists.
    pub list_blocks: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            buckets: 1024,
            list_blocks: 4096,
        }
    }
}

/// A host that runs the firewall, without its kernel.
#[derive(Debug)]
pub struct HostEngine {
    control: Control,
    images: [Option<Vec<Block>>; SLOTS],
    flows: HostBuckets,
    half_flows: HostBuckets,
    tables: HostTables,
    clock: ClockScale,
    short_ways: bool,
}

impl HostEngine {
    /// A host with `image` in force in slot 0, judging as epoch 1. Its clock is that of a kernel with 250 Hz.
    #[must_use]
    pub fn new(image: &[Block], timeouts: impl FnOnce(ClockScale) -> Timeouts) -> Self {
        Self::with_sizes(image, timeouts, Sizes::default())
    }

    /// The same with tables of other sizes.
    ///
    /// # Panics
    /// Where the number of buckets is no power of two.
    #[must_use]
    pub fn with_sizes(image: &[Block], timeouts: impl FnOnce(ClockScale) -> Timeouts, sizes: Sizes) -> Self {
        assert!(sizes.buckets.is_power_of_two(), "buckets are found by a mask");
        let clock = ClockScale::TYPICAL;
        let mut engine = Self {
            control: Control {
                seed: SEED,
                abi_version: ABI_VERSION,
                clock_shift: clock.shift,
                ..Control::zeroed().with_flow_tables(sizes.buckets, sizes.buckets)
            },
            images: [const { None }; SLOTS],
            flows: HostBuckets::new(sizes.buckets),
            half_flows: HostBuckets::new(sizes.buckets),
            tables: HostTables::new(sizes.list_blocks),
            clock,
            short_ways: true,
        };
        engine.load(0, image, 1, timeouts(clock));
        engine.switch(Cell {
            slot: 0,
            fallback: 0,
            mode: Mode::Normal,
            deadline_ticks: None,
        });
        engine
    }

    /// Judges every packet by the whole path from now on. The short ways of plain packets decide alike; tests hold the
    /// one against the other.
    pub fn take_no_short_ways(&mut self) {
        self.short_ways = false;
    }

    /// The length of this host's ticks.
    #[must_use]
    pub fn clock(&self) -> ClockScale {
        self.clock
    }

    /// Puts an image into a slot, to be judged by as `epoch`.
    ///
    /// # Panics
    /// Where there is no such slot.
    pub fn load(&mut self, slot: u8, image: &[Block], epoch: u32, timeouts_ticks: Timeouts) {
        self.images[usize::from(slot)] = Some(image.to_vec());
        self.control.slots[usize::from(slot)] = SlotControl {
            epoch,
            flags: slot_flags::LOADED,
            management_ports: classify::header(&SliceImage(image))
                .map_or([0; 4], |header| header.management_ports()),
            timeouts_ticks,
        };
    }

    /// Ends all flows.
    pub fn forget_flows(&mut self) {
        self.flows = HostBuckets::new(self.control.flow_mask + 1);
        self.half_flows = HostBuckets::new(self.control.half_flow_mask + 1);
    }

    /// Changes what is in force, as the agent does it: by one word.
    pub fn switch(&mut self, cell: Cell) {
        self.control.cell = cell.pack();
    }

    /// Bans an address until `expires_ticks`, or for ever where that is zero. All flows are judged again.
    pub fn ban(&mut self, address: std::net::IpAddr, expires_ticks: u32) {
        self.tables.ban(Address::from_ip(address), expires_ticks);
        self.control.bans += 1;
        for slot in &mut self.control.slots {
            slot.epoch += 1;
        }
    }

    /// Gives a slot the members of its block lists.
    pub fn load_lists(&mut self, slot: u8, members: &Members) -> Result<(), Full> {
        self.tables.lists().load(slot, members)?;
        self.control.slots[usize::from(slot)].flags |= slot_flags::LISTS;
        Ok(())
    }

    /// Changes the lists of a slot, which may be in force, and has all flows judged again.
    pub fn change_lists(&mut self, slot: u8, changes: &[Change]) -> Result<(), Full> {
        for change in changes {
            self.tables.lists().apply(slot, change)?;
        }
        self.control.slots[usize::from(slot)].flags |= slot_flags::LISTS;
        for slot in &mut self.control.slots {
            slot.epoch += 1;
        }
        Ok(())
    }

    /// Number of the judgement of slot 0.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.control.slots[0].epoch
    }

    /// Enters a flow. False where there is no room, or it is there already.
    pub fn enter(&mut self, flow: &NewFlow, is_assured: bool) -> bool {
        let (slot, _) = Cell::effective(self.control.cell, flow.opened_ticks);
        let Some(settings) = self.control.slots.get(usize::from(slot)) else {
            return false;
        };
        let table = if is_assured {
            self.table()
        } else {
            self.half_table()
        };
        let hash = flow.key.hash(&self.control.seed);
        let entered = table.insert(flow, hash, &settings.timeouts_ticks, false);
        matches!(entered, Inserted::Done)
    }

    /// Forgets all flows, fragments and budgets.
    pub fn forget(&mut self) {
        self.flows.clear();
        self.half_flows.clear();
        self.tables.forget_fragments();
    }

    /// The image in slot 0.
    #[must_use]
    pub fn image(&self) -> &[Block] {
        self.images[0].as_deref().unwrap_or_default()
    }

    /// The tables beside the flows and the policy.
    #[must_use]
    pub fn tables(&mut self) -> &mut HostTables {
        &mut self.tables
    }

    /// The assured flows.
    #[must_use]
    pub fn flows(&self) -> &HostBuckets {
        &self.flows
    }

    /// The flows that are not assured yet.
    #[must_use]
    pub fn half_flows(&self) -> &HostBuckets {
        &self.half_flows
    }

    /// What becomes of an Ethernet frame at a hook, on the interface of this slot.
    pub fn packet(&self, frame: &[u8], hook: Hook, interface_slot: u8, now_ticks: u32) -> Decision {
        self.packet_on(frame, LinkType::Ethernet, hook, interface_slot, now_ticks)
    }

    /// As [`Self::packet`], for an interface of either kind.
    pub fn packet_on(
        &self,
        frame: &[u8],
        link: LinkType,
        hook: Hook,
        interface_slot: u8,
        now_ticks: u32,
    ) -> Decision {
        let (slot, mode) = Cell::effective(self.control.cell, now_ticks);
        if self.short_ways
            && link == LinkType::Ethernet
            && mode == Mode::Normal
            && let Some(packet) = Plain::read(&frame, hook)
            && let Some(decision) = self.plain(&packet, frame, hook, interface_slot, slot, now_ticks)
        {
            return decision;
        }
        match headers::parse(&frame, link) {
            Ok(mut headers) => {
                headers.interface_slot = interface_slot;
                self.judge(frame, &headers, hook, slot, mode, now_ticks)
            }
            Err(_) if mode == Mode::Pause => Decision::by(Reason::Paused),
            Err(reason) => Decision::by(reason),
        }
    }

    fn table(&self) -> Table<'_, HostBuckets> {
        Table {
            buckets: &self.flows,
            mask: self.control.flow_mask,
        }
    }

    fn half_table(&self) -> Table<'_, HostBuckets> {
        Table {
            buckets: &self.half_flows,
            mask: self.control.half_flow_mask,
        }
    }

    fn live(&self, slot: u8, now_ticks: u32) -> Option<LiveFlows<'_, HostBuckets>> {
        Some(LiveFlows {
            table: self.table(),
            slot: self.control.slots.get(usize::from(slot))?,
            seed: &self.control.seed,
            now_ticks,
        })
    }

    fn judge(
        &self,
        frame: &[u8],
        headers: &Headers,
        hook: Hook,
        number: u8,
        mode: Mode,
        now_ticks: u32,
    ) -> Decision {
        let (Some(slot), Some(image)) = (
            self.control.slots.get(usize::from(number)),
            self.images.get(usize::from(number)).and_then(Option::as_ref),
        ) else {
            return Decision::by(Reason::NoPolicy);
        };
        if self.short_ways
            && mode == Mode::Normal
            && let Some(live) = self.live(number, now_ticks)
            && let Some(passed) = judge::live(&live, headers, hook)
        {
            return passed;
        }
        let image = SliceImage(image);
        let env = self.env(&image, number, slot, mode, now_ticks);
        judge::judge(&env, &frame, headers, hook, &mut Work::zeroed())
    }

    fn env<'a>(
        &'a self,
        image: &'a SliceImage<'a>,
        number: u8,
        slot: &'a SlotControl,
        mode: Mode,
        now_ticks: u32,
    ) -> Env<'a, SliceImage<'a>, HostBuckets, HostBuckets, HostTables> {
        Env {
            image,
            flows: self.table(),
            half_flows: self.half_table(),
            slow: &self.tables,
            slot,
            slot_number: number,
            seed: &self.control.seed,
            mode,
            now_ticks,
            has_bans: self.control.bans != 0,
        }
    }

    /// The short ways of a plain packet.
    fn plain(
        &self,
        packet: &Plain,
        frame: &[u8],
        hook: Hook,
        interface_slot: u8,
        number: u8,
        now_ticks: u32,
    ) -> Option<Decision> {
        let live = self.live(number, now_ticks)?;
        let hash = packet.key.hash(&self.control.seed);
        match live.plain(packet, hash, hook) {
            Assured::Live(rule) => return Some(Decision::of_flow(rule)),
            Assured::Held => return None,
            Assured::Unknown => {}
        }
        if hook == Hook::Egress {
            return None;
        }
        let image = SliceImage(self.images.get(usize::from(number))?.as_ref()?);
        let env = self.env(&image, number, live.slot, Mode::Normal, now_ticks);
        let frame_bytes = u32::try_from(frame.len()).ok()?;
        let root = if live.slot.flags & slot_flags::LISTS == 0 {
            Entry::NONE
        } else {
            let (family, remote) = (packet.key.address_family(), packet.key.remote);
            self.tables.list_root(number, family, remote)
        };
        let root = match (root != Entry::NONE).then(|| judge::listed(&env, packet, hash, root)) {
            Some(Some(true)) => return Some(Decision::by(Reason::Listed)),
            Some(Some(false)) => Entry::NONE,
            Some(None) | None => root,
        };
        let record = PlainRecord::new(packet, hash, frame_bytes, interface_slot, number, root);
        judge::first(&env, &record, &mut Work::zeroed())
    }
}
