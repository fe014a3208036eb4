//! Walks over flow tables that the kernel programs write meanwhile.

use std::time::Duration;

use firewall_common::{
    control::{Control, SlotControl},
    flow::{BUCKET_WAYS, Bucket, FlowKey, Found, Table, Timeouts},
    tables::Buckets,
};

use super::{ClockReading, FlowTable, FlowView};

/// What it takes to read flows.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlowContext {
    pub(super) clock: ClockReading,
    pub(super) timeouts: Timeouts,
}

impl FlowContext {
    /// With the idle times of the slot that is in force now.
    pub(super) fn of(control: &Control, clock: ClockReading) -> Self {
        let (slot, _) = firewall_common::cell::Cell::effective(control.cell, clock.now_ticks);
        let timeouts = control
            .slots
            .get(usize::from(slot))
            .map(|slot: &SlotControl| slot.timeouts_ticks)
            .unwrap_or_default();
        Self { clock, timeouts }
    }
}

/// Shows each live flow to `visit` until that returns false; false if it did.
pub(super) fn scan<'a>(
    table: FlowTable,
    buckets: impl Iterator<Item = &'a Bucket>,
    context: &FlowContext,
    visit: &mut dyn FnMut(&FlowView, &Found<'_>) -> bool,
) -> bool {
    for bucket in buckets {
        for way in 0..BUCKET_WAYS {
            let view = bucket.read(way).and_then(|(key, found)| {
                let view = FlowView::of(table, key, &found, &context.clock, &context.timeouts)?;
                Some((view, found))
            });
            if view.is_some_and(|(view, found)| !visit(&view, &found)) {
                return false;
            }
        }
    }
    true
}

/// Shows flows that have ended to `visit`, where their last packet came within a time; stops as [`scan`] does.
pub(super) fn scan_ended<'a>(
    table: FlowTable,
    buckets: impl Iterator<Item = &'a Bucket>,
    context: &FlowContext,
    within: Duration,
    visit: &mut dyn FnMut(&FlowView) -> bool,
) -> bool {
    for bucket in buckets {
        for way in 0..BUCKET_WAYS {
            let Some((key, found)) = bucket.read(way) else {
                continue;
            };
            let (view, is_live) =
                FlowView::live_or_ended(table, key, &found, &context.clock, &context.timeouts);
            if !is_live && view.idle <= within && !visit(&view) {
                return false;
            }
        }
    }
    true
}

/// Ends a flow by its key. False where there is none.
pub(super) fn delete<B: Buckets>(buckets: &B, mask: u32, key: &FlowKey, seed: &[u64; 4]) -> bool {
    let table = Table { buckets, mask };
    table
        .find(key.words(), key.hash(seed))
        .is_some_and(|found| found.delete())
}
