//! How full the tables are.

use std::os::fd::AsFd;

use firewall_common::{abi::names, flow::BUCKET_WAYS, interface::INTERFACE_SLOTS};

use super::{
    adopt::local_address_count,
    maps::{info, open},
    session::Session,
    sys::{self, ElementSizes},
};
use crate::dataplane::{DataplaneError, FlowTable, FlowView, MapUsage};

/// Hash maps that the programs fill.
const HASHES: [&str; 3] = [names::FRAGMENTS, names::ORPHANS, names::REJECT_WINDOWS];
/// The tables of both families have room for as many prefixes each.
const BANS: &str = "BANS";
const BATCH: u32 = 4096;

impl Session {
    pub(super) fn map_usage(&self) -> Result<Vec<MapUsage>, DataplaneError> {
        let mut usage = self.flow_usage()?;
        for (slot, blocks, capacity) in self.slots.usage(&self.control())? {
            usage.push(of(
                &format!("{}_{slot}", names::IMAGE),
                blocks.into(),
                capacity.into(),
            ));
        }
        let interfaces = self.maps.interfaces.count()?;
        usage.push(of(names::INTERFACES, interfaces, INTERFACE_SLOTS as u64 - 1));
        let room = info(&self.pins, names::LOCAL_ADDRESSES)?.max_entries();
        usage.push(of(
            names::LOCAL_ADDRESSES,
            local_address_count(self)?,
            room.into(),
        ));
        if let Some(lists) = &self.lists {
            let room = self.maps.sizes.list_blocks;
            usage.push(of(names::LIST_BLOCKS, lists.used().into(), room.into()));
        }
        if self.ban_count() > 0 {
            usage.push(of(BANS, self.ban_count(), self.maps.sizes.bans.into()));
        }
        for name in HASHES {
            usage.push(self.hash_usage(name)?);
        }
        Ok(usage)
    }

    fn flow_usage(&self) -> Result<Vec<MapUsage>, DataplaneError> {
        let (mut assured, mut half) = (0, 0);
        self.visit_flows(&mut |view: &FlowView| {
            // The place of one whose rule has ended is free.
            let taken = u64::from(!view.rule_ended);
            match view.table {
                FlowTable::Assured => assured += taken,
                FlowTable::Half => half += taken,
            }
            true
        })?;
        let room = |buckets: u32| u64::from(buckets) * BUCKET_WAYS as u64;
        Ok(vec![
            of(names::FLOWS, assured, room(self.maps.sizes.flow_buckets)),
            of(names::HALF_FLOWS, half, room(self.maps.sizes.half_flow_buckets)),
        ])
    }

    fn hash_usage(&self, name: &'static str) -> Result<MapUsage, DataplaneError> {
        let info = info(&self.pins, name)?;
        let map = open(&self.pins, name)?;
        let sizes = ElementSizes {
            key: info.key_size() as usize,
            value: info.value_size() as usize,
        };
        let mut cursor = Vec::new();
        let mut entries = 0;
        loop {
            let (keys, _) = sys::lookup_batch(map.fd().as_fd(), sizes, BATCH, &mut cursor)
                .map_err(|source| DataplaneError::Counters { map: name, source })?;
            entries += (keys.len() / sizes.key.max(1)) as u64;
            if cursor.is_empty() {
                return Ok(of(name, entries, info.max_entries().into()));
            }
        }
    }
}

fn of(map: &str, entries: u64, capacity: u64) -> MapUsage {
    MapUsage {
        map: map.to_owned(),
        entries,
        capacity,
    }
}
