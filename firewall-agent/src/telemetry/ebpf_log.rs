//! For developing the eBPF side: prints what its programs log with `aya-log`.
//!
//! A slot's programs are loaded again when a policy outgrows their map, each time with a log of their own. So the
//! programs are looked through again and again; with the feature off, none of this is there.

use std::{collections::BTreeMap, time::Duration};

use aya::{maps::MapInfo, programs::loaded_programs};
use aya_log::EbpfLogger;
use log::Log;
use tokio::time::{MissedTickBehavior, interval};

/// The map that `aya-log-ebpf` writes to.
const LOG_MAP: &str = "AYA_LOGS";

/// What the names of this project's programs begin with.
const PROGRAM_PREFIX: &str = "fw_";

/// How often logs are read, and programs looked through.
const INTERVAL: Duration = Duration::from_millis(250);

/// Prints logs for ever.
pub(crate) async fn print() {
    let mut logs = BTreeMap::new();
    let mut regularly = interval(INTERVAL);
    regularly.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        regularly.tick().await;
        for (program, map) in logging_programs() {
            logs.entry(map).or_insert_with(|| open(program));
        }
        for log in logs.values_mut().flatten() {
            log.flush();
        }
    }
}

fn open(program: u32) -> Option<EbpfLogger<&'static dyn Log>> {
    let log = EbpfLogger::init_from_id(program);
    log.inspect_err(|error| tracing::warn!(program, %error, "cannot read what a program logs"))
        .ok()
}

/// Programs and their log maps, by identifier.
fn logging_programs() -> Vec<(u32, u32)> {
    loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| {
            let name = program.name_as_str();
            name.is_some_and(|name| name.starts_with(PROGRAM_PREFIX))
        })
        .filter_map(|program| {
            let maps = program.map_ids().ok()??;
            let is_log = |id: &u32| MapInfo::from_id(*id).is_ok_and(|map| map.name_as_str() == Some(LOG_MAP));
            Some((program.id(), maps.into_iter().find(is_log)?))
        })
        .collect()
}
