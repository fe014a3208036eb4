//! The maps of a loaded dataplane, as an interpreted program sees them: copies of the kernel's values. What the program
//! writes stays in the copies.

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::{AsFd, AsRawFd},
    path::PathBuf,
};

use anyhow::{Context, Result};
use aya::maps::{MapData, MapType};
use firewall_common::abi::names;

use super::memory::{Memory, Place};
use crate::bpf::lookup;

#[derive(Debug)]
struct Map {
    data: MapData,
    kind: MapType,
    key_bytes: usize,
    value_bytes: usize,
}

/// Maps by name, opened when a program asks for them.
#[derive(Debug)]
pub(super) struct Maps {
    pins: PathBuf,
    /// The policy slot whose image is [`names::IMAGE`].
    slot: u8,
    open: HashMap<String, Map>,
    /// Addresses of the values that were asked for.
    values: HashMap<(String, Vec<u8>), u64>,
    /// Look-ups by map.
    pub(super) asked: BTreeMap<String, u32>,
}

impl Maps {
    pub(super) fn new(pins: PathBuf, slot: u8) -> Self {
        Self {
            pins,
            slot,
            open: HashMap::new(),
            values: HashMap::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Address of a value, or zero.
    pub(super) fn look_up(&mut self, memory: &mut Memory, name: &str, key_address: u64) -> Result<u64> {
        *self.asked.entry(name.to_owned()).or_insert(0) += 1;
        if !self.open.contains_key(name) {
            let map = self.open_map(name)?;
            self.open.insert(name.to_owned(), map);
        }
        let map = &self.open[name];
        let key = memory.bytes(key_address, map.key_bytes)?;
        let place = (name.to_owned(), key);
        if let Some(address) = self.values.get(&place) {
            return Ok(*address);
        }
        let (name, key) = place;
        let Some(value) = map.value(&key).with_context(|| name.clone())? else {
            return Ok(0);
        };
        let address = memory.add(
            Place::Value {
                map: name.clone(),
                key: key.clone(),
            },
            &value,
        );
        self.values.insert((name, key), address);
        Ok(address)
    }

    fn open_map(&self, name: &str) -> Result<Map> {
        let pin = if name == names::IMAGE {
            format!("{name}_{}", self.slot)
        } else {
            name.to_owned()
        };
        let data = MapData::from_pin(self.pins.join(pin)).with_context(|| name.to_owned())?;
        let info = data.info()?;
        Ok(Map {
            kind: info.map_type()?,
            key_bytes: info.key_size() as usize,
            value_bytes: info.value_size() as usize,
            data,
        })
    }
}

impl Map {
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value_bytes];
        // Programs hand each other things there; what former ones have left is none of this one's business.
        if self.kind == MapType::PerCpuArray {
            return Ok(Some(value));
        }
        let found = lookup(self.data.fd().as_fd().as_raw_fd(), key, &mut value)?;
        Ok(found.then_some(value))
    }
}
