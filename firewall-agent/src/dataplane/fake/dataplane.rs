//! The dataplane on a fake kernel.

use std::{collections::BTreeSet, net::IpAddr, sync::MutexGuard, time::Duration};

use firewall_common::{
    abi::{SLOTS, names},
    capture::{CaptureCounts, Viewer},
    cell::Cell,
    control::{SlotControl, slot_flags},
    counters::{Hook, RuleCounter},
    flow::{BUCKET_WAYS, FlowKey, Inserted},
    image::Block,
    interface::INTERFACE_SLOTS,
};
use tokio::sync::mpsc;

use super::{
    FakeKernel, Operation,
    kernel::{FLOW_BUCKETS, FewBuckets, Inner, RULE_COUNTERS, SCALE, Slot},
};
use crate::{
    compile::timeouts::timeouts,
    dataplane::{
        Admission, AdoptedSlot, Adoption, AttachRequest, AttachedInterface, Bans, CaptureFilter,
        CaptureStream, ClockReading, CounterSnapshot, Dataplane, DataplaneError, DryRun, EventStream,
        FlowTable, FlowView, Link, Listener, LoadedSlot, MapUsage, NetworkChanges, SlotImage, SlotStatus,
        SocketFlow, SpareSlot, Takeover, Unloaded,
        flow_scan::{FlowContext, delete, scan, scan_ended},
        generation::checked_header,
        image_digest,
        takeover::established,
    },
    prefix_set::{Change, Members},
};

/// A [`Dataplane`] on a [`FakeKernel`].
#[derive(Debug)]
pub struct FakeDataplane {
    kernel: FakeKernel,
    open: bool,
}

impl FakeDataplane {
    pub(super) const fn new(kernel: FakeKernel) -> Self {
        Self { kernel, open: false }
    }

    fn inner(&self) -> Result<MutexGuard<'_, Inner>, DataplaneError> {
        if self.open {
            Ok(self.kernel.lock())
        } else {
            Err(DataplaneError::NotOpen)
        }
    }
}

impl Dataplane for FakeDataplane {
    fn adopt_or_create(&mut self) -> Result<Adoption, DataplaneError> {
        let mut inner = self.kernel.lock();
        inner.check(Operation::Adopt, "adopt")?;
        let adopted = inner.present;
        if !adopted {
            inner.create();
        }
        let slots = (0..SLOTS)
            .filter_map(|slot| {
                let status = inner.status(slot)?;
                let intact = inner.slots.get(slot)?.as_ref()?.loaded_digest == status.digest;
                Some(AdoptedSlot { status, intact })
            })
            .collect();
        self.open = true;
        Ok(Adoption {
            adopted,
            slots,
            interfaces: inner.attached.clone(),
            ..Adoption::default()
        })
    }

    fn clock(&self) -> Result<ClockReading, DataplaneError> {
        Ok(self.inner()?.clock())
    }

    fn cell(&self) -> Result<Cell, DataplaneError> {
        Ok(Cell::unpack(self.inner()?.control.cell))
    }

    fn slots(&self) -> Result<Vec<SlotStatus>, DataplaneError> {
        let inner = self.inner()?;
        Ok((0..SLOTS).filter_map(|slot| inner.status(slot)).collect())
    }

    fn load_generation(&mut self, image: &SlotImage<'_>, keep: &[u8]) -> Result<LoadedSlot, DataplaneError> {
        checked_header(image.blocks)?;
        let mut inner = self.inner()?;
        inner.check(Operation::Load, "load programs")?;
        let slot = inner.free_slot(keep).ok_or(DataplaneError::NoFreeSlot)?;
        if inner.failing.contains(&Operation::ReadBack) {
            return Err(DataplaneError::ReadBack { slot });
        }
        let newest = inner.control.slots.iter().map(|slot| slot.epoch).max();
        let epoch = newest.unwrap_or(0) + 1;
        let digest = image_digest(image.blocks);
        if let Some(control) = inner.control.slots.get_mut(usize::from(slot)) {
            *control = SlotControl {
                epoch,
                flags: slot_flags::LOADED,
                management_ports: [0; 4],
                timeouts_ticks: timeouts(&image.timers, SCALE),
            };
        }
        let mut programs_loaded = true;
        if let Some(place) = inner.slots.get_mut(usize::from(slot)) {
            programs_loaded = place
                .as_ref()
                .is_none_or(|old| old.blocks.len() < image.blocks.len());
            *place = Some(Slot {
                blocks: image.blocks.to_vec(),
                loaded_digest: digest,
            });
        }
        Ok(LoadedSlot {
            slot,
            epoch,
            digest,
            programs_loaded,
        })
    }

    fn spare_slot(&mut self, _: u32) -> Result<Option<SpareSlot>, DataplaneError> {
        // There is no verifier here.
        Ok(None)
    }

    fn dry_run(&self, _: u8, _: Hook) -> Result<Option<DryRun>, DataplaneError> {
        // There are no programs here.
        Ok(None)
    }

    fn install(&mut self, _: SpareSlot) -> Result<(), DataplaneError> {
        Ok(())
    }

    fn load_lists(&mut self, slot: u8, members: &Members) -> Result<(), DataplaneError> {
        let mut inner = self.inner()?;
        if members.is_empty() && inner.lists.is_none() {
            return Ok(());
        }
        inner.check(Operation::LoadLists, "load block lists")?;
        inner
            .lists()
            .load(slot, members)
            .map_err(DataplaneError::ListsFull)
    }

    fn change_lists(&mut self, slot: u8, changes: &[Change]) -> Result<u32, DataplaneError> {
        let mut inner = self.inner()?;
        inner.check(Operation::LoadLists, "change block lists")?;
        for change in changes {
            inner
                .lists()
                .apply(slot, change)
                .map_err(DataplaneError::ListsFull)?;
        }
        inner.judge_again(slot)
    }

    fn settle_lists(&mut self, slot: u8) -> Result<u32, DataplaneError> {
        let mut inner = self.inner()?;
        inner.lists().settle();
        inner.judge_again(slot)
    }

    fn list_members(&mut self, slot: u8) -> Result<Members, DataplaneError> {
        let mut inner = self.inner()?;
        Ok(inner
            .lists
            .as_mut()
            .map(|lists| lists.members(slot))
            .unwrap_or_default())
    }

    fn set_bans(&mut self, bans: &Bans) -> Result<u32, DataplaneError> {
        let mut inner = self.inner()?;
        inner.check(Operation::Ban, "ban")?;
        let is_new = |(prefix, expires): (&_, &_)| inner.bans.get(prefix) != Some(expires);
        let shuts = bans.iter().any(is_new);
        inner.bans.clone_from(bans);
        let slot = Cell::unpack(inner.control.cell).slot;
        if shuts && inner.status(usize::from(slot)).is_some() {
            return inner.judge_again(slot);
        }
        Ok(inner.epoch(slot))
    }

    fn switch(&mut self, cell: Cell) -> Result<(), DataplaneError> {
        let mut inner = self.inner()?;
        inner.check(Operation::Switch, "switch")?;
        for slot in [cell.slot, cell.fallback] {
            if inner.status(usize::from(slot)).is_none() {
                return Err(DataplaneError::SlotEmpty { slot });
            }
        }
        if inner.ends_flows_at_switch {
            (inner.flows, inner.half_flows) = (FewBuckets::new(), FewBuckets::new());
        }
        inner.control.cell = cell.pack();
        Ok(())
    }

    fn read_back(&self, slot: u8) -> Result<Vec<Block>, DataplaneError> {
        let inner = self.inner()?;
        let loaded = inner.slots.get(usize::from(slot)).and_then(Option::as_ref);
        loaded
            .map(|slot| slot.blocks.clone())
            .ok_or(DataplaneError::SlotEmpty { slot })
    }

    fn patch_image(&mut self, slot: u8, patch: &[(u32, Block)]) -> Result<(), DataplaneError> {
        let mut inner = self.inner()?;
        let loaded = inner.slots.get_mut(usize::from(slot)).and_then(Option::as_mut);
        let loaded = loaded.ok_or(DataplaneError::SlotEmpty { slot })?;
        let blocks = u32::try_from(loaded.blocks.len()).unwrap_or(u32::MAX);
        if let Some(&(block, _)) = patch.iter().find(|(block, _)| *block >= blocks) {
            return Err(DataplaneError::PatchOutside { slot, blocks, block });
        }
        for (place, block) in patch {
            loaded.blocks[*place as usize] = *block;
        }
        loaded.loaded_digest = image_digest(&loaded.blocks);
        Ok(())
    }

    fn links(&self) -> Result<Vec<Link>, DataplaneError> {
        let inner = self.inner()?;
        inner.check(Operation::Links, "list interfaces")?;
        Ok(inner.links.clone())
    }

    fn reserve_interface(&mut self, link: &Link) -> Result<u8, DataplaneError> {
        let mut inner = self.inner()?;
        if let Some((_, slot)) = inner.reserved.iter().find(|(index, _)| *index == link.index) {
            return Ok(*slot);
        }
        let free = (1u8..)
            .take(INTERFACE_SLOTS - 1)
            .find(|slot| inner.reserved.iter().all(|(_, taken)| taken != slot));
        let slot = free.ok_or_else(|| DataplaneError::TooManyInterfaces {
            interface: link.name.clone(),
            limit: INTERFACE_SLOTS - 1,
        })?;
        inner.reserved.push((link.index, slot));
        Ok(slot)
    }

    fn attach(&mut self, request: &AttachRequest<'_>) -> Result<AttachedInterface, DataplaneError> {
        let interface = || request.link.name.clone();
        if request.link.loopback {
            return Err(DataplaneError::Loopback {
                interface: interface(),
            });
        }
        let link_type = request
            .link
            .link_type()
            .ok_or_else(|| DataplaneError::UnsupportedLink {
                interface: interface(),
                arphrd: request.link.arphrd,
            })?;
        let slot = self.reserve_interface(request.link)?;
        let mut inner = self.inner()?;
        inner.check(Operation::Attach, "attach")?;
        if !inner.links.contains(request.link) {
            return Err(DataplaneError::NoSuchInterface {
                interface: interface(),
            });
        }
        let (mode, reason) = Inner::mode_of(request);
        let attached = AttachedInterface {
            index: request.link.index,
            name: interface(),
            slot,
            link_type,
            mode,
            reason,
            vlan_tags_visible: request.needs_vlan_tags,
            vlan_offload_disabled: request.needs_vlan_tags,
        };
        inner.attached.retain(|other| other.index != attached.index);
        inner.attached.push(attached.clone());
        Ok(attached)
    }

    fn detach(&mut self, name: &str) -> Result<bool, DataplaneError> {
        let mut inner = self.inner()?;
        let place = inner.attached.iter().position(|attached| attached.name == name);
        let Some(gone) = place.map(|place| inner.attached.remove(place)) else {
            return Ok(false);
        };
        inner.reserved.retain(|(index, _)| *index != gone.index);
        Ok(true)
    }

    fn forget_gone(&mut self, links: &[Link]) -> Result<Vec<AttachedInterface>, DataplaneError> {
        let mut inner = self.inner()?;
        let is_there = |index: u32| links.iter().any(|link| link.index == index);
        let (kept, gone) = inner
            .attached
            .drain(..)
            .partition(|attached| is_there(attached.index));
        inner.attached = kept;
        inner.reserved.retain(|(index, _)| is_there(*index));
        Ok(gone)
    }

    fn interfaces(&self) -> Vec<AttachedInterface> {
        self.inner()
            .map(|inner| inner.attached.clone())
            .unwrap_or_default()
    }

    fn sync_local_addresses(&mut self) -> Result<usize, DataplaneError> {
        Ok(self.inner()?.addresses)
    }

    fn local_addresses(&self) -> Result<BTreeSet<IpAddr>, DataplaneError> {
        Ok(self.inner()?.own_addresses.clone())
    }

    fn network_changes(&mut self) -> Result<NetworkChanges, DataplaneError> {
        Ok(NetworkChanges::from_channel(self.inner()?.changes.subscribe()))
    }

    fn connections(&self) -> Result<Vec<SocketFlow>, DataplaneError> {
        Ok(self.inner()?.sockets.clone())
    }

    fn listeners(&self) -> Result<Vec<Listener>, DataplaneError> {
        Ok(self.inner()?.listeners.clone())
    }

    fn take_over(
        &mut self,
        slot: u8,
        interfaces: Option<&[u32]>,
        judge: &mut dyn FnMut(&SocketFlow) -> Option<Admission>,
    ) -> Result<Takeover, DataplaneError> {
        let inner = self.inner()?;
        let mut outcome = Takeover::default();
        for socket in &inner.sockets {
            let index = inner
                .links
                .iter()
                .find(|link| Some(&link.name) == socket.interface.as_ref())
                .map(|link| link.index);
            if interfaces.is_some_and(|wanted| index.is_none_or(|index| !wanted.contains(&index))) {
                continue;
            }
            outcome.seen += 1;
            let is_banned = inner
                .bans
                .keys()
                .any(|prefix| prefix.contains(&socket.remote.ip()));
            let Some(admission) = judge(socket).filter(|_| !is_banned) else {
                outcome.denied += 1;
                continue;
            };
            let new = established(socket, admission, inner.epoch(slot), inner.clock().now_ticks);
            match inner.insert(FlowTable::Assured, &new) {
                Inserted::Done => outcome.entered += 1,
                Inserted::Exists => outcome.known += 1,
                Inserted::Refused => outcome.refused += 1,
            }
        }
        Ok(outcome)
    }

    fn counters(&self, rules: u16) -> Result<CounterSnapshot, DataplaneError> {
        let mut counters = self.inner()?.counters.clone();
        counters.rules.truncate(usize::from(rules));
        Ok(counters)
    }

    fn clear_rule_counter(&mut self, number: u16) -> Result<(), DataplaneError> {
        if let Some(counter) = self.inner()?.counters.rules.get_mut(usize::from(number)) {
            *counter = RuleCounter::default();
        }
        Ok(())
    }

    fn rule_counter_capacity(&self) -> u16 {
        RULE_COUNTERS
    }

    fn visit_flows(&self, visit: &mut dyn FnMut(&FlowView) -> bool) -> Result<(), DataplaneError> {
        let inner = self.inner()?;
        let context = FlowContext::of(&inner.control, inner.clock());
        for (table, buckets) in [
            (FlowTable::Assured, &inner.flows),
            (FlowTable::Half, &inner.half_flows),
        ] {
            if !scan(table, buckets.0.iter(), &context, &mut |view, _| visit(view)) {
                break;
            }
        }
        Ok(())
    }

    fn visit_ended_flows(
        &self,
        within: Duration,
        visit: &mut dyn FnMut(&FlowView) -> bool,
    ) -> Result<(), DataplaneError> {
        let inner = self.inner()?;
        let context = FlowContext::of(&inner.control, inner.clock());
        for (table, buckets) in [
            (FlowTable::Assured, &inner.flows),
            (FlowTable::Half, &inner.half_flows),
        ] {
            if !scan_ended(table, buckets.0.iter(), &context, within, visit) {
                break;
            }
        }
        Ok(())
    }

    fn delete_flows(&mut self, which: &mut dyn FnMut(&FlowView) -> bool) -> Result<u64, DataplaneError> {
        let inner = self.inner()?;
        let context = FlowContext::of(&inner.control, inner.clock());
        let mut deleted = 0;
        for (table, buckets) in [
            (FlowTable::Assured, &inner.flows),
            (FlowTable::Half, &inner.half_flows),
        ] {
            scan(table, buckets.0.iter(), &context, &mut |view, found| {
                deleted += u64::from(which(view) && found.delete());
                true
            });
        }
        Ok(deleted)
    }

    fn delete_flow(&mut self, key: &FlowKey) -> Result<bool, DataplaneError> {
        let inner = self.inner()?;
        let control = &inner.control;
        let assured = delete(&inner.flows, control.flow_mask, key, &control.seed);
        let half = delete(&inner.half_flows, control.half_flow_mask, key, &control.seed);
        Ok(assured || half)
    }

    fn events(&mut self) -> Result<EventStream, DataplaneError> {
        let mut inner = self.inner()?;
        let receiver = inner.events_out.take().unwrap_or_else(|| {
            let (events, events_out) = mpsc::unbounded_channel();
            inner.events = events;
            events_out
        });
        Ok(EventStream::from_channel(receiver))
    }

    fn start_capture(
        &mut self,
        viewer: Viewer,
        filter: &CaptureFilter,
        time: Duration,
    ) -> Result<CaptureStream, DataplaneError> {
        let (packets, packets_out) = mpsc::unbounded_channel();
        self.inner()?.captures[viewer as usize] = Some((filter.clone(), packets));
        self.extend_capture(viewer, time)?;
        Ok(CaptureStream::from_channel(packets_out))
    }

    fn extend_capture(&mut self, viewer: Viewer, time: Duration) -> Result<(), DataplaneError> {
        let mut inner = self.inner()?;
        inner.control.viewer_until_ticks[viewer as usize] = inner.clock().deadline(time).max(1);
        Ok(())
    }

    fn end_capture(&mut self, viewer: Viewer) -> Result<(), DataplaneError> {
        self.inner()?.control.viewer_until_ticks[viewer as usize] = 0;
        Ok(())
    }

    fn capture_counts(&self, viewer: Viewer) -> Result<CaptureCounts, DataplaneError> {
        Ok(self.inner()?.capture_counts[viewer as usize])
    }

    fn map_usage(&self) -> Result<Vec<MapUsage>, DataplaneError> {
        let mut entries = 0;
        self.visit_flows(&mut |view| {
            entries += u64::from(view.table == FlowTable::Assured && !view.rule_ended);
            true
        })?;
        Ok(vec![MapUsage {
            map: names::FLOWS.to_owned(),
            entries,
            capacity: (FLOW_BUCKETS * BUCKET_WAYS) as u64,
        }])
    }

    fn unload(&mut self) -> Result<Unloaded, DataplaneError> {
        self.open = false;
        let mut inner = self.kernel.lock();
        inner.present = false;
        inner.control.cell = 0;
        inner.slots = Default::default();
        inner.reserved.clear();
        inner.flows = FewBuckets::new();
        inner.half_flows = FewBuckets::new();
        Ok(Unloaded {
            interfaces: inner.attached.drain(..).map(|attached| attached.name).collect(),
            ..Unloaded::default()
        })
    }
}
