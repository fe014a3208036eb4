//! The packet path without a kernel: the very code that the eBPF programs run, over collections.

use std::net::IpAddr;

use firewall_agent::{
    compile::timeouts::timeouts,
    dataplane::{FlowTable, SlotImage},
    engine::HostEngine,
    prefix_set::{Change, Members},
};
use firewall_common::{abi::SLOTS, cell::Cell, control::ClockScale, counters::Hook, flow::State};

use super::{Engine, Interface, Judged};

/// A [`HostEngine`] that numbers its judgements.
#[derive(Debug)]
pub struct InMemory {
    engine: HostEngine,
    /// By slot.
    epochs: [u32; SLOTS],
}

impl InMemory {
    /// See [`HostEngine::take_no_short_ways`].
    pub fn take_no_short_ways(&mut self) {
        self.engine.take_no_short_ways();
    }

    fn load_as(&mut self, slot: u8, image: &SlotImage<'_>, epoch: u32) {
        let timeouts = timeouts(&image.timers, self.engine.clock());
        self.engine.load(slot, image.blocks, epoch, timeouts);
        self.epochs[usize::from(slot)] = epoch;
    }
}

impl Engine for InMemory {
    fn start(image: &SlotImage<'_>) -> Self {
        let engine = HostEngine::new(image.blocks, |clock| timeouts(&image.timers, clock));
        Self {
            engine,
            epochs: [1, 0, 0, 0],
        }
    }

    fn clock(&self) -> ClockScale {
        self.engine.clock()
    }

    fn load(&mut self, slot: u8, image: &SlotImage<'_>) {
        let newest = self.epochs.iter().max().expect("there are slots");
        self.load_as(slot, image, newest + 1);
    }

    fn overwrite(&mut self, slot: u8, image: &SlotImage<'_>) {
        self.load_as(slot, image, self.epochs[usize::from(slot)]);
    }

    fn switch(&mut self, cell: Cell) {
        self.engine.switch(cell);
    }

    fn ban(&mut self, address: IpAddr, expires_ticks: u32) {
        self.engine.ban(address, expires_ticks);
        self.epochs = self.epochs.map(|epoch| epoch + 1);
    }

    fn load_lists(&mut self, slot: u8, members: &Members) {
        self.engine.load_lists(slot, members).expect("room for lists");
    }

    fn change_lists(&mut self, slot: u8, change: &Change) {
        let change = std::slice::from_ref(change);
        self.engine.change_lists(slot, change).expect("room for lists");
        self.epochs = self.epochs.map(|epoch| epoch + 1);
    }

    fn add_local(&mut self, address: IpAddr) {
        self.engine.tables().add_local(address);
    }

    fn takes(&self, _: &[u8], _: Hook) -> bool {
        true
    }

    fn judge(&self, frame: &[u8], interface: Interface, hook: Hook, now_ticks: u32) -> Judged {
        let decision = self
            .engine
            .packet_on(frame, interface.link_type(), hook, interface.slot(), now_ticks);
        decision.into()
    }

    fn flows(&self, table: FlowTable) -> Vec<State> {
        let buckets = match table {
            FlowTable::Assured => self.engine.flows(),
            FlowTable::Half => self.engine.half_flows(),
        };
        buckets.iter().map(|(_, flow)| flow.state).collect()
    }
}
