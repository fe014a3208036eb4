//! The packet path in the kernel: the real programs, run by `BPF_PROG_TEST_RUN`.

use std::{collections::BTreeMap, net::IpAddr, rc::Rc, time::Duration};

use firewall_agent::{
    dataplane::{CaptureFilter, CapturedFrame, FlowTable, SlotImage},
    prefix_set::{Change, Members},
};
use firewall_common::{
    capture::{CaptureCounts, Viewer},
    cell::Cell,
    control::ClockScale,
    counters::Hook,
    flow::{FlowKey, State},
};

use super::{Engine, Interface, Judged};
use crate::{
    bench::{Bench, Lease, Ran},
    interpreter::Walk,
};

/// Ethernet header: the kernel runs no program on less (`net/bpf/test_run.c`, `bpf_test_init`).
const LINK_BYTES: usize = 14;

/// The programs of this process's [`Bench`], with tables that nobody else uses meanwhile.
///
/// There is one bench for each process, since verifying the programs takes seconds. A new engine takes it over from an
/// older one of the same thread, which cannot be used any more; other threads wait.
#[derive(Debug)]
pub struct InKernel {
    lease: Rc<Lease>,
    turn: u64,
}

impl InKernel {
    /// Works with the bench.
    fn with<R: Send + 'static>(&self, work: impl FnOnce(&mut Bench) -> R + Send + 'static) -> R {
        let turn = self.turn;
        self.lease.run(move |bench| {
            assert_eq!(turn, bench.turn(), "a newer host has the kernel's tables");
            work(bench)
        })
    }

    /// Counts what so many rules decide.
    pub fn watch_rules(&self, count: u32) {
        self.with(move |bench| bench.watch_rules(count));
    }

    /// Forgets all flows.
    pub fn clear_flows(&self) {
        self.with(Bench::clear_flows);
    }

    /// See [`Bench::contend`].
    #[must_use]
    pub fn contend(&self, frames: Vec<(Hook, Vec<u8>)>, now_ticks: u32, time: Duration) -> u64 {
        self.with(move |bench| bench.contend(&frames, now_ticks, time))
    }

    /// See [`Bench::start_capture`].
    pub fn start_capture(&self, viewer: Viewer, filter: CaptureFilter, now_ticks: u32, time: Duration) {
        self.with(move |bench| bench.start_capture(viewer, &filter, now_ticks, time));
    }

    /// See [`Bench::captured`].
    #[must_use]
    pub fn captured(&self, viewer: Viewer) -> (Vec<CapturedFrame>, CaptureCounts) {
        self.with(move |bench| bench.captured(viewer))
    }

    /// See [`Bench::end_capture`].
    pub fn end_capture(&self, viewer: Viewer) {
        self.with(move |bench| bench.end_capture(viewer));
    }

    /// See [`Bench::live_flows`].
    #[must_use]
    pub fn live_flows(&self) -> Vec<(FlowTable, FlowKey, u16)> {
        self.with(|bench| bench.live_flows())
    }

    /// See [`Bench::dry_run`].
    #[must_use]
    pub fn dry_run(&self, frame: &[u8], interface: Interface, hook: Hook, now_ticks: u32) -> Judged {
        let frame = frame.to_vec();
        self.with(move |bench| bench.dry_run(&frame, interface, hook, now_ticks))
    }

    /// See [`Bench::walk`].
    #[must_use]
    pub fn walk(&self, frame: &[u8], interface: Interface, hook: Hook, now_ticks: u32) -> Walk {
        let frame = frame.to_vec();
        self.with(move |bench| bench.walk(&frame, interface, hook, now_ticks))
    }

    /// See [`Bench::map_contents`].
    #[must_use]
    pub fn map_contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.with(|bench| bench.map_contents())
    }

    /// Runs the program of a hook on a frame: verdict, and what the program has made of the frame.
    #[must_use]
    pub fn run(&self, frame: &[u8], interface: Interface, hook: Hook, now_ticks: u32) -> Ran {
        let frame = frame.to_vec();
        self.with(move |bench| bench.run(&frame, interface, hook, now_ticks))
    }
}

impl Engine for InKernel {
    fn start(image: &SlotImage<'_>) -> Self {
        let lease = Lease::take();
        let (blocks, timers) = (image.blocks.to_vec(), image.timers);
        let turn = lease.run(move |bench| {
            bench.reset();
            bench.load(
                0,
                &SlotImage {
                    blocks: &blocks,
                    timers,
                },
            );
            bench.start()
        });
        Self { lease, turn }
    }

    fn clock(&self) -> ClockScale {
        self.with(|bench| bench.clock())
    }

    fn load(&mut self, slot: u8, image: &SlotImage<'_>) {
        let (blocks, timers) = (image.blocks.to_vec(), image.timers);
        self.with(move |bench| {
            bench.load(
                slot,
                &SlotImage {
                    blocks: &blocks,
                    timers,
                },
            );
        });
    }

    fn overwrite(&mut self, slot: u8, image: &SlotImage<'_>) {
        let blocks = image.blocks.to_vec();
        self.with(move |bench| bench.overwrite(slot, &blocks));
    }

    fn switch(&mut self, cell: Cell) {
        self.with(move |bench| bench.switch(cell));
    }

    fn ban(&mut self, address: IpAddr, expires_ticks: u32) {
        self.with(move |bench| bench.ban(address, expires_ticks));
    }

    fn load_lists(&mut self, slot: u8, members: &Members) {
        let members = members.clone();
        self.with(move |bench| bench.load_lists(slot, &members));
    }

    fn change_lists(&mut self, slot: u8, change: &Change) {
        let change = change.clone();
        self.with(move |bench| bench.change_lists(slot, change));
    }

    fn add_local(&mut self, address: IpAddr) {
        self.with(move |bench| bench.add_local(address));
    }

    /// `BPF_PROG_TEST_RUN` refuses frames without a whole Ethernet header, which no driver hands on either. At egress
    /// it refuses what ends with that header or, by its EtherType, within an IP header (`bpf_prog_test_run_skb`); raw
    /// sockets send such frames, as the suite `netns` does.
    fn takes(&self, frame: &[u8], hook: Hook) -> bool {
        let needed = match (hook, frame.get(12..LINK_BYTES)) {
            (Hook::Ingress, _) => LINK_BYTES,
            (Hook::Egress, Some([0x08, 0x00])) => LINK_BYTES + 20,
            (Hook::Egress, Some([0x86, 0xdd])) => LINK_BYTES + 40,
            (Hook::Egress, _) => LINK_BYTES + 1,
        };
        frame.len() >= needed
    }

    fn judge(&self, frame: &[u8], interface: Interface, hook: Hook, now_ticks: u32) -> Judged {
        self.run(frame, interface, hook, now_ticks).judged
    }

    fn flows(&self, table: FlowTable) -> Vec<State> {
        self.with(move |bench| bench.flows(table))
    }
}
