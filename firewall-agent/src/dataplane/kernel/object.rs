//! The compiled-in eBPF object, and how it is loaded.

use std::{
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use aya::{Ebpf, EbpfLoader, programs::Program};
use firewall_common::{abi::names, counters::REASON_ENTRIES, flow::BUCKET_WAYS};

use super::{pins::Pins, rehearsal::Rehearsing};
use crate::{OBJECT, dataplane::DataplaneError, settings::TableSettings};

/// Share of the table's places that its flows take when it is as full as the settings say. Fuller, and too many
/// buckets and their alternatives would be full before the table is.
const LOAD_PERCENT: u64 = 75;

/// Sizes of the shared maps in entries; they hold from the first load on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapSizes {
    pub(super) flow_buckets: u32,
    pub(super) half_flow_buckets: u32,
    pub(super) rule_counters: u32,
    pub(super) bans: u32,
    pub(super) list_blocks: u32,
}

impl From<&TableSettings> for MapSizes {
    fn from(tables: &TableSettings) -> Self {
        Self {
            flow_buckets: buckets(tables.flows),
            half_flow_buckets: buckets(tables.half_open_flows),
            rule_counters: tables.rule_counters,
            bans: tables.bans,
            list_blocks: tables.list_blocks,
        }
    }
}

/// Buckets for so many flows: a power of two, since the hash is masked.
fn buckets(flows: u32) -> u32 {
    let places = u64::from(flows) * 100 / LOAD_PERCENT;
    let buckets = places.div_ceil(BUCKET_WAYS as u64).next_power_of_two();
    u32::try_from(buckets).unwrap_or(1 << 31)
}

/// The image map that a load is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageMap<'a> {
    pub(super) path: &'a Path,
    pub(super) blocks: u32,
}

/// How programs are loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoadOptions {
    pub(super) sizes: MapSizes,
    /// The programs take the time from the control record.
    pub(super) clock_from_cell: bool,
    /// What they tell and write.
    pub(super) rehearsing: Rehearsing,
}

impl LoadOptions {
    /// Reads the object: shared maps are those that are pinned, or made and pinned; programs are not loaded yet.
    pub(super) fn open(&self, pins: &Pins, image: Option<ImageMap<'_>>) -> Result<Ebpf, DataplaneError> {
        self.open_with(pins, image, &[])
    }

    /// The same, with maps that are pinned elsewhere than the shared ones of their names.
    pub(super) fn open_with(
        &self,
        pins: &Pins,
        image: Option<ImageMap<'_>>,
        own: &[(&'static str, PathBuf)],
    ) -> Result<Ebpf, DataplaneError> {
        let clock = u8::from(self.clock_from_cell);
        let mut loader = EbpfLoader::new();
        loader
            .default_map_pin_directory(pins.set())
            .map_max_entries(names::FLOWS, self.sizes.flow_buckets)
            .map_max_entries(names::HALF_FLOWS, self.sizes.half_flow_buckets)
            .map_max_entries(names::FLOW_FILTERS, self.sizes.flow_buckets)
            .map_max_entries(names::HALF_FLOW_FILTERS, self.sizes.half_flow_buckets)
            .map_max_entries(names::RULE_COUNTERS, self.sizes.rule_counters)
            .map_max_entries(names::LOG_WINDOWS, REASON_ENTRIES + self.sizes.rule_counters)
            .map_max_entries(names::BANS_V4, self.sizes.bans)
            .map_max_entries(names::BANS_V6, self.sizes.bans)
            .map_max_entries(names::LIST_BLOCKS, self.sizes.list_blocks)
            .override_global(names::CLOCK_FROM_CELL, &clock, true)
            .override_global(names::REHEARSAL, self.rehearsing.kind(), true);
        for (name, path) in own {
            loader.map_pin_path(name, path.clone());
        }
        if let Some(image) = image {
            loader
                .map_pin_path(names::IMAGE, image.path.to_owned())
                .map_max_entries(names::IMAGE, image.blocks);
        }
        loader
            .load(OBJECT)
            .map_err(|source| DataplaneError::Object(Box::new(source)))
    }
}

/// Has the kernel verify and take programs of the object, all at the same time: verifying is most of what loading
/// costs, and the kernel does it on as many CPUs as there are callers.
pub(super) fn load_programs(ebpf: &mut Ebpf, wanted: &[&'static str]) -> Result<(), DataplaneError> {
    if let Some(program) = wanted.iter().find(|name| ebpf.program(name).is_none()) {
        return Err(DataplaneError::MissingProgram { program });
    }
    let wanted_name = |name: &str| wanted.iter().find(|wanted| **wanted == name).copied();
    thread::scope(|scope| {
        let loads: Vec<_> = ebpf
            .programs_mut()
            .filter_map(|(name, program)| wanted_name(name).map(|name| (name, program)))
            .map(|(name, program)| scope.spawn(move || load(name, program)))
            .collect();
        loads
            .into_iter()
            .try_for_each(|load| load.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn load(name: &'static str, program: &mut Program) -> Result<(), DataplaneError> {
    let loaded = match program {
        Program::Xdp(xdp) => xdp.load(),
        Program::SchedClassifier(classifier) => classifier.load(),
        _ => return Err(DataplaneError::MissingProgram { program: name }),
    };
    loaded.map_err(|source| DataplaneError::LoadProgram {
        program: name,
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_room_for_what_the_settings_say() {
        for flows in [1 << 10, 65_536, 262_144, 1 << 26] {
            let buckets = buckets(flows);
            assert!(buckets.is_power_of_two());
            assert!(u64::from(buckets) * BUCKET_WAYS as u64 >= u64::from(flows) * 4 / 3);
        }
        assert_eq!(buckets(262_144), 65_536);
    }
}
