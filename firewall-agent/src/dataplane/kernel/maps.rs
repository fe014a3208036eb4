//! The maps that every slot shares.

use std::os::fd::AsFd;

use aya::maps::{HashMap, Map, MapData, MapError, MapInfo};
use firewall_common::{abi::names, control::Control, flow::Bucket, image::Block};

use super::{
    compact::CompactMap,
    flow_map::FlowMap,
    interfaces::InterfaceTable,
    mapped::{MappedControl, MappedLists},
    object::MapSizes,
    pins::{Pins, file},
};
use crate::dataplane::DataplaneError;

/// Key of [`names::LOCAL_ADDRESSES`]: an IPv6 address as two words, an IPv4 address mapped into it (RFC 4291 2.5.5.2).
pub(super) type AddressKey = [u64; 2];

/// Open shared maps.
pub(super) struct Maps {
    pub(super) control: MappedControl,
    pub(super) flows: FlowMap,
    pub(super) half_flows: FlowMap,
    pub(super) compact: CompactMap,
    pub(super) interfaces: InterfaceTable,
    pub(super) local_addresses: HashMap<MapData, AddressKey, u64>,
    pub(super) rule_counters: MapData,
    pub(super) reason_counters: MapData,
    pub(super) interface_counters: MapData,
    pub(super) event_loss: MapData,
    pub(super) xdp_slots: MapData,
    pub(super) tc_slots: MapData,
    pub(super) sizes: MapSizes,
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Maps")
            .field("sizes", &self.sizes)
            .finish_non_exhaustive()
    }
}

impl Maps {
    /// Opens the pinned maps.
    pub(super) fn open(pins: &Pins) -> Result<Self, DataplaneError> {
        let sizes = MapSizes {
            flow_buckets: entries(pins, names::FLOWS, size_of::<Bucket>())?,
            half_flow_buckets: entries(pins, names::HALF_FLOWS, size_of::<Bucket>())?,
            rule_counters: info(pins, names::RULE_COUNTERS)?.max_entries(),
            bans: info(pins, names::BANS_V4)?.max_entries(),
            list_blocks: entries(pins, names::LIST_BLOCKS, size_of::<Block>())?,
        };
        entries(pins, names::CONTROL, size_of::<Control>())?;
        Ok(Self {
            control: MappedControl::map(open(pins, names::CONTROL)?.fd().as_fd())
                .map_err(file("map", &pins.path(names::CONTROL)))?,
            flows: FlowMap::new(open(pins, names::FLOWS)?, sizes.flow_buckets),
            half_flows: FlowMap::new(open(pins, names::HALF_FLOWS)?, sizes.half_flow_buckets),
            compact: CompactMap::open(pins)?,
            interfaces: InterfaceTable::open(pins)?,
            local_addresses: typed(pins, names::LOCAL_ADDRESSES)?,
            rule_counters: open(pins, names::RULE_COUNTERS)?,
            reason_counters: open(pins, names::REASON_COUNTERS)?,
            interface_counters: open(pins, names::INTERFACE_COUNTERS)?,
            event_loss: open(pins, names::EVENT_LOSS)?,
            xdp_slots: open(pins, names::XDP_SLOTS)?,
            tc_slots: open(pins, names::TC_SLOTS)?,
            sizes,
        })
    }
}

/// The block lists of all slots, not mapped yet.
pub(super) fn lists(pins: &Pins, blocks: u32) -> Result<MappedLists, DataplaneError> {
    let descriptor = |name| {
        let map = open(pins, name)?;
        let descriptor = map.fd().as_fd().try_clone_to_owned();
        descriptor.map_err(file("open", &pins.path(name)))
    };
    Ok(MappedLists::new(
        descriptor(names::LIST_ROOTS)?,
        descriptor(names::LIST_BLOCKS)?,
        blocks,
    ))
}

/// Opens a pinned map.
pub(super) fn open(pins: &Pins, name: &'static str) -> Result<MapData, DataplaneError> {
    MapData::from_pin(pins.path(name)).map_err(map("open", name))
}

/// Opens a pinned map of a type that aya knows.
pub(super) fn typed<M>(pins: &Pins, name: &'static str) -> Result<M, DataplaneError>
where
    M: TryFrom<Map, Error = MapError>,
{
    Map::from_map_data(open(pins, name)?)
        .and_then(M::try_from)
        .map_err(map("open", name))
}

/// What the kernel says of a pinned map.
pub(super) fn info(pins: &Pins, name: &'static str) -> Result<MapInfo, DataplaneError> {
    let path = pins.path(name);
    if !path.exists() {
        return Err(DataplaneError::MissingMap { map: name });
    }
    MapInfo::from_pin(path).map_err(map("look at", name))
}

/// Entries of a pinned map whose values have to be of this size.
fn entries(pins: &Pins, name: &'static str, value_bytes: usize) -> Result<u32, DataplaneError> {
    let info = info(pins, name)?;
    if usize::try_from(info.value_size()) == Ok(value_bytes) {
        Ok(info.max_entries())
    } else {
        Err(DataplaneError::MissingMap { map: name })
    }
}

/// Says what was being done to which map.
pub(super) fn map(action: &'static str, map: &'static str) -> impl FnOnce(MapError) -> DataplaneError {
    move |source| DataplaneError::Map {
        action,
        map,
        source: Box::new(source),
    }
}
