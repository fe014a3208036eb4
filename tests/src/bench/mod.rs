//! The real programs, loaded once for each process, in namespaces of their own, and run by `BPF_PROG_TEST_RUN`.
//!
//! Needs root. Everything lies in namespaces of one thread, and goes with the process, however that ends: the network
//! namespace has no name, and the BPF file system is mounted where no other thread sees it. The interfaces are down, so
//! that no packet but those of the tests is ever counted.

mod counted;
mod lease;
mod place;
mod sheet;
mod tables;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use firewall_agent::{
    dataplane::{
        AttachMode, AttachRequest, CaptureFilter, CaptureStream, CapturedFrame, Dataplane, FlowTable,
        ImageIdentity, KernelDataplane, KernelSettings, Rehearsal, Rehearsing, SlotImage,
    },
    prefix_set::{Change, Members},
    settings::TableSettings,
};
use firewall_common::{
    abi::{ABI_VERSION, SLOTS},
    capture::{CaptureCounts, VIEWERS, Viewer},
    cell::{Cell, Mode},
    control::ClockScale,
    counters::Hook,
    flow::{FlowKey, State},
    image::Block,
};

use crate::{
    engine::{Interface, Judged},
    interpreter::{Arrival, Interpreter, Walk},
    map_contents::map_contents,
    mounts::{PINS, STATE},
    random::Random,
};
pub use counted::{Action, Ran};
use counted::{Counters, Packet, RULES};
pub use lease::Lease;
use tables::Tables;

/// Flows that either table is made for: as many buckets as [`firewall_agent::engine::HostEngine`] has.
const FLOWS: u32 = 4096;
/// Rules that any policy of the tests may have, the defaults included.
const RULE_COUNTERS: u32 = 2048;
/// More than any answer has.
const ANSWER_BYTES: usize = 256;

/// Between two rounds of ending flows in [`Bench::contend`].
const CONTENTION_PAUSE: Duration = Duration::from_millis(1);

/// A loaded dataplane.
pub struct Bench {
    dataplane: KernelDataplane,
    ingress: Rehearsal,
    egress: Rehearsal,
    tables: Tables,
    /// Interface indices by slot.
    interfaces: [u32; 4],
    /// The dataplane's slots by the tests' slots.
    slots: [Option<u8>; SLOTS],
    counters: Counters,
    /// By hook.
    dry_runs: [Option<(ImageIdentity, Rehearsal)>; 2],
    pins: PathBuf,
    /// Made when it is first asked for.
    interpreter: Option<Interpreter>,
    /// Number of whoever has the bench now.
    turn: u64,
    captured: [Option<CaptureStream>; VIEWERS],
    /// What reads it.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Bench {
    /// Loads everything, for the calling thread.
    fn new() -> Self {
        place::enter();
        let settings = KernelSettings {
            pin_directory: PINS.into(),
            state_directory: STATE.into(),
            tables: TableSettings {
                flows: FLOWS,
                half_open_flows: FLOWS,
                rule_counters: RULE_COUNTERS,
                bans: 64,
                list_blocks: 4096,
            },
            clock_from_cell: true,
            rehearsing: Rehearsing::Told,
        };
        let pins = settings.pin_directory.join(format!("v{ABI_VERSION}"));
        let mut dataplane = KernelDataplane::new(settings);
        dataplane.adopt_or_create().expect("the dataplane loads");
        let interfaces = attach(&mut dataplane);
        Self {
            ingress: dataplane.rehearsal(Hook::Ingress).expect("a pinned program"),
            egress: dataplane.rehearsal(Hook::Egress).expect("a pinned program"),
            counters: Counters::open(&pins),
            tables: Tables::open(pins.clone()),
            dry_runs: [None, None],
            pins,
            interpreter: None,
            interfaces,
            slots: [None; SLOTS],
            turn: 0,
            captured: [None, None],
            runtime: None,
            dataplane,
        }
    }

    /// Number of whoever has it now.
    #[must_use]
    pub const fn turn(&self) -> u64 {
        self.turn
    }

    /// Empties all tables. Whoever had the bench before has it no longer.
    pub fn reset(&mut self) {
        self.turn += 1;
        self.slots = [None; SLOTS];
        // No slot is kept as a fallback.
        let in_force = self.dataplane.cell().expect("a cell").slot;
        self.store(normal(in_force));
        self.tables.clear();
        self.end_capture(Viewer::Capture);
        self.end_capture(Viewer::Shadow);
        self.counters.watch_rules(RULES);
    }

    /// Empties the flow tables.
    pub fn clear_flows(&mut self) {
        self.tables.clear_flows();
    }

    /// Looks at the counters of so many rules, for a policy that has more than most.
    pub fn watch_rules(&mut self, count: u32) {
        assert!(count <= RULE_COUNTERS, "{count} rules");
        self.counters.watch_rules(count);
    }

    /// Puts slot 0 in force; returns the number of whoever has the bench now.
    pub fn start(&mut self) -> u64 {
        self.switch(normal(0));
        self.turn
    }

    /// The length of the programs' ticks.
    #[must_use]
    pub fn clock(&self) -> ClockScale {
        self.dataplane.clock().expect("a clock").scale
    }

    /// Puts an image into a slot, as a new epoch.
    pub fn load(&mut self, slot: u8, image: &SlotImage<'_>) {
        let others = (0u8..).zip(self.slots).filter(|(other, _)| *other != slot);
        let keep: Vec<u8> = others.filter_map(|(_, held)| held).collect();
        let loaded = self
            .dataplane
            .load_generation(image, &keep)
            .expect("the image loads");
        self.slots[usize::from(slot)] = Some(loaded.slot);
    }

    /// Puts an image into a slot that has one, and keeps its epoch.
    pub fn overwrite(&mut self, slot: u8, blocks: &[Block]) {
        let held = self.slots[usize::from(slot)].expect("a loaded slot");
        self.tables.write_image(held, blocks);
    }

    /// Puts a cell in force.
    pub fn switch(&mut self, cell: Cell) {
        let cell = Cell {
            slot: self.held(cell.slot),
            fallback: self.held(cell.fallback),
            ..cell
        };
        self.store(cell);
    }

    /// The dataplane's slot for one of the tests'; an empty one for one that is not loaded.
    fn held(&self, slot: u8) -> u8 {
        let held = self.slots.get(usize::from(slot)).copied().flatten();
        held.unwrap_or_else(|| {
            let loaded = self.dataplane.slots().expect("slots");
            let is_empty = |slot: &u8| loaded.iter().all(|status| status.slot != *slot);
            (0u8..).take(SLOTS).find(is_empty).expect("an empty slot")
        })
    }

    /// Stores a cell, also one that the dataplane would refuse.
    fn store(&mut self, cell: Cell) {
        self.tables.change_control(|control| control.cell = cell.pack());
    }

    /// Bans an address; all flows are judged again.
    pub fn ban(&mut self, address: IpAddr, expires_ticks: u32) {
        self.tables.ban(address, expires_ticks);
        self.tables.change_control(|control| {
            control.bans += 1;
            let newest = control.slots.iter().map(|slot| slot.epoch).max().unwrap_or(0);
            for (step, slot) in (1..).zip(&mut control.slots) {
                slot.epoch = newest + step;
            }
        });
    }

    /// Gives a slot the members of its block lists.
    pub fn load_lists(&mut self, slot: u8, members: &Members) {
        let held = self.held(slot);
        self.dataplane.load_lists(held, members).expect("room for lists");
    }

    /// Changes the block lists of a slot; all flows are judged again.
    pub fn change_lists(&mut self, slot: u8, change: Change) {
        let held = self.held(slot);
        self.dataplane
            .change_lists(held, &[change])
            .expect("room for lists");
        self.dataplane.settle_lists(held).expect("a loaded slot");
    }

    /// Gives the host an address.
    pub fn add_local(&mut self, address: IpAddr) {
        self.tables.add_local(address);
    }

    /// States of live flows.
    #[must_use]
    pub fn flows(&self, table: FlowTable) -> Vec<State> {
        let mut states = Vec::new();
        self.dataplane
            .visit_flows(&mut |view| {
                if view.table == table {
                    states.push(view.flow.state);
                }
                true
            })
            .expect("flow tables");
        states
    }

    /// Runs the program of a hook on a frame, and finds out by the counters what it has decided.
    ///
    /// # Panics
    /// Where the counters contradict each other, the frame, the action or what the program has told, and where a frame that was not answered has
    /// been changed.
    pub fn run(&mut self, frame: &[u8], interface: Interface, hook: Hook, now_ticks: u32) -> Ran {
        self.dataplane.set_clock(now_ticks).expect("a clock");
        let mut out = vec![0; frame.len() + ANSWER_BYTES];
        let index = self.interfaces[usize::from(interface.slot())];
        let rehearsed = self.program(hook).run(frame, index, Some(&mut out));
        let rehearsed =
            rehearsed.unwrap_or_else(|error| panic!("no run at {hook:?} on {frame:02x?}: {error}"));
        let action = Action::of(hook, rehearsed.action);
        let ran = Ran {
            judged: self.counters.judged(&Packet {
                hook,
                interface,
                bytes: frame.len(),
            }),
            action,
            frame: out,
        };
        ran.check(frame);
        let told = rehearsed.decision.map(Judged::from);
        assert_eq!(told, Some(ran.judged), "what is told is what is counted");
        ran
    }

    /// What the programs would decide now on a frame, by those that write nothing.
    ///
    /// # Panics
    /// Where they come to no decision.
    pub fn dry_run(&mut self, frame: &[u8], interface: Interface, hook: Hook, now_ticks: u32) -> Judged {
        self.dataplane.set_clock(now_ticks).expect("a clock");
        let in_force = self.dataplane.cell().expect("a cell").slot;
        let wanted = self.dataplane.dry_run(in_force, hook).expect("a loaded slot");
        let wanted = wanted.expect("there is a kernel");
        let kept = &mut self.dry_runs[usize::from(hook == Hook::Egress)];
        if kept.as_ref().is_none_or(|(image, _)| *image != wanted.image()) {
            *kept = Some((wanted.image(), wanted.load().expect("the programs load")));
        }
        let (_, programs) = kept.as_ref().expect("they were loaded");
        let index = self.interfaces[usize::from(interface.slot())];
        let ran = programs.run(frame, index, None).expect("a run");
        ran.decision.expect("a decision").into()
    }

    /// The way of a frame through the programs as they are shipped, over what the maps hold now. Nothing is changed.
    ///
    /// # Panics
    /// Where the programs do what an interpreter does not know.
    pub fn walk(&mut self, frame: &[u8], interface: Interface, hook: Hook, now_ticks: u32) -> Walk {
        let arrival = Arrival {
            frame,
            hook,
            interface: self.interfaces[usize::from(interface.slot())],
            slot: self.dataplane.cell().expect("a cell").slot,
            jiffies: u64::from(now_ticks) << self.clock().shift,
        };
        let interpreter = self
            .interpreter
            .get_or_insert_with(|| Interpreter::new(firewall_agent::OBJECT).expect("the object"));
        let walk = interpreter.walk(self.pins.clone(), &arrival);
        walk.unwrap_or_else(|error| panic!("no walk at {hook:?} of {frame:02x?}: {error:?}"))
    }

    /// Everything that the shared maps hold.
    ///
    /// # Panics
    /// Where they cannot be read.
    #[must_use]
    pub fn map_contents(&self) -> BTreeMap<String, Vec<u8>> {
        map_contents(&self.pins).expect("maps can be read")
    }

    const fn program(&self, hook: Hook) -> &Rehearsal {
        match hook {
            Hook::Ingress => &self.ingress,
            Hook::Egress => &self.egress,
        }
    }

    /// Runs the programs on frames in random order from two threads at once, and ends flows from a third, until the
    /// time is up; returns how many ran.
    #[must_use]
    pub fn contend(&mut self, frames: &[(Hook, Vec<u8>)], now_ticks: u32, time: Duration) -> u64 {
        self.dataplane.set_clock(now_ticks).expect("a clock");
        let over = AtomicBool::new(false);
        let index = self.interfaces[usize::from(Interface::Eth0.slot())];
        let programs = [&self.ingress, &self.egress];
        let run = |seed| {
            let (mut random, mut ran) = (Random::new(seed), 0);
            while !over.load(Ordering::Relaxed) {
                let (hook, frame) = random.pick(frames);
                let [ingress, egress] = programs;
                let program = if *hook == Hook::Ingress { ingress } else { egress };
                program.run(frame, index, None).expect("a run");
                ran += 1;
            }
            ran
        };
        let ran = std::thread::scope(|scope| {
            let threads = [1, 2].map(|seed| scope.spawn(move || run(seed)));
            let (start, mut random) = (Instant::now(), Random::new(3));
            while start.elapsed() < time {
                let ended = self.dataplane.delete_flows(&mut |_| random.percent(1));
                ended.expect("flow tables");
                std::thread::sleep(CONTENTION_PAUSE);
            }
            over.store(true, Ordering::Relaxed);
            threads
                .map(|thread| thread.join().expect("a thread that ran"))
                .iter()
                .sum()
        });
        self.counters.settle();
        ran
    }

    /// Has dropped packets handed to a viewer until the clock has gone on for so long.
    pub fn start_capture(&mut self, viewer: Viewer, filter: &CaptureFilter, now_ticks: u32, time: Duration) {
        self.dataplane.set_clock(now_ticks).expect("a clock");
        let runtime = self.runtime.get_or_insert_with(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime")
        });
        let _inside = runtime.enter();
        let stream = self.dataplane.start_capture(viewer, filter, time);
        self.captured[viewer as usize] = Some(stream.expect("a ring buffer"));
    }

    /// What has been captured since it was last asked, and what has become of all that was wanted.
    ///
    /// # Panics
    /// Where no capture was started.
    pub fn captured(&mut self, viewer: Viewer) -> (Vec<CapturedFrame>, CaptureCounts) {
        let (runtime, stream) = (self.runtime.as_ref(), self.captured[viewer as usize].as_mut());
        let (runtime, stream) = (runtime.expect("a capture"), stream.expect("a capture"));
        let mut frames = Vec::new();
        runtime.block_on(async {
            let read = stream.read(&mut frames, usize::MAX);
            // Nothing is there where it waits.
            let _ = tokio::time::timeout(Duration::from_millis(20), read).await;
        });
        (frames, self.dataplane.capture_counts(viewer).expect("counters"))
    }

    /// Hands no more to a viewer.
    pub fn end_capture(&mut self, viewer: Viewer) {
        self.dataplane.end_capture(viewer).expect("it is loaded");
        self.captured[viewer as usize] = None;
    }

    /// Live flows: table, ends and the rule that let each in.
    #[must_use]
    pub fn live_flows(&self) -> Vec<(FlowTable, FlowKey, u16)> {
        let mut flows = Vec::new();
        let visited = self.dataplane.visit_flows(&mut |view| {
            flows.push((view.table, view.key, view.flow.rule));
            true
        });
        visited.expect("flow tables");
        flows
    }
}

const fn normal(slot: u8) -> Cell {
    Cell {
        slot,
        fallback: slot,
        mode: Mode::Normal,
        deadline_ticks: None,
    }
}

/// Attaches to all interfaces that are to be attached; returns the indices of all, by slot.
fn attach(dataplane: &mut KernelDataplane) -> [u32; 4] {
    let links = dataplane.links().expect("links");
    let link = |interface: Interface| {
        let found = links.iter().find(|link| link.name == interface.name());
        found.expect("an interface")
    };
    for interface in Interface::ATTACHED {
        let attached = dataplane.attach(&AttachRequest {
            link: link(interface),
            mode: AttachMode::Generic,
            needs_vlan_tags: false,
        });
        let attached = attached.expect("it can be attached to");
        assert_eq!(attached.slot, interface.slot(), "numbers go up from 1");
        assert_eq!(attached.link_type, interface.link_type());
    }
    [
        Interface::Unnamed,
        Interface::Eth0,
        Interface::Eth1,
        Interface::Tunnel,
    ]
    .map(|interface| link(interface).index)
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Bench")
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}
