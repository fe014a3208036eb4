//! The interface table that the programs read, and the numbers given to interfaces.

use std::collections::BTreeMap;

use aya::maps::{Array, MapData};
use bytemuck::cast;
use firewall_common::{
    abi::names,
    interface::{INTERFACE_ENTRIES, INTERFACE_PROBES, INTERFACE_SLOTS, InterfaceRecord},
};

use super::{
    maps::{map, typed},
    pins::Pins,
};
use crate::dataplane::DataplaneError;

/// Most interfaces that have a number.
const LIMIT: usize = INTERFACE_SLOTS - 1;

/// Numbers by interface index.
#[derive(Debug, Default, Clone)]
pub(super) struct Numbers(BTreeMap<u32, u8>);

impl Numbers {
    /// The number of an interface, given now where it has none.
    pub(super) fn reserve(&mut self, index: u32, name: &str) -> Result<u8, DataplaneError> {
        if let Some(number) = self.0.get(&index) {
            return Ok(*number);
        }
        let free = (1u8..)
            .take(LIMIT)
            .find(|number| !self.0.values().any(|taken| taken == number));
        let number = free.ok_or_else(|| too_many(name))?;
        self.0.insert(index, number);
        Ok(number)
    }

    pub(super) fn keep(&mut self, index: u32, number: u8) {
        self.0.insert(index, number);
    }

    pub(super) fn release(&mut self, index: u32) {
        self.0.remove(&index);
    }

    /// Releases the numbers of interfaces that are gone.
    pub(super) fn release_gone(&mut self, is_there: impl Fn(u32) -> bool) {
        self.0.retain(|index, _| is_there(*index));
    }
}

fn too_many(name: &str) -> DataplaneError {
    DataplaneError::TooManyInterfaces {
        interface: name.to_owned(),
        limit: LIMIT,
    }
}

/// The table in the kernel: [`InterfaceRecord`]s as words.
pub(super) struct InterfaceTable(Array<MapData, u64>);

impl InterfaceTable {
    pub(super) fn open(pins: &Pins) -> Result<Self, DataplaneError> {
        typed(pins, names::INTERFACES).map(Self)
    }

    fn get(&self, place: u32) -> Result<InterfaceRecord, DataplaneError> {
        let word = self.0.get(&place, 0).map_err(map("read", names::INTERFACES))?;
        Ok(cast(word))
    }

    fn set(&mut self, place: u32, record: InterfaceRecord) -> Result<(), DataplaneError> {
        let word: u64 = cast(record);
        self.0
            .set(place, word, 0)
            .map_err(map("write", names::INTERFACES))
    }

    /// Enters an interface; false where it stands there already.
    pub(super) fn register(&mut self, record: InterfaceRecord, name: &str) -> Result<bool, DataplaneError> {
        let mut free = None;
        for place in places(record.index) {
            let found = self.get(place)?;
            if found == record {
                return Ok(false);
            }
            if found.index == record.index {
                free = Some(place);
                break;
            }
            if found.index == 0 && free.is_none() {
                free = Some(place);
            }
        }
        let place = free.ok_or_else(|| too_many(name))?;
        self.set(place, record)?;
        Ok(true)
    }

    /// What stands there for an interface.
    pub(super) fn find(&self, index: u32) -> Result<Option<InterfaceRecord>, DataplaneError> {
        for place in places(index) {
            let found = self.get(place)?;
            if found.index == index {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Removes an interface.
    pub(super) fn unregister(&mut self, index: u32) -> Result<(), DataplaneError> {
        for place in places(index) {
            if self.get(place)?.index == index {
                self.set(place, InterfaceRecord::default())?;
            }
        }
        Ok(())
    }

    /// Interfaces in the table.
    pub(super) fn count(&self) -> Result<u64, DataplaneError> {
        let mut count = 0;
        for place in 0..INTERFACE_ENTRIES {
            count += u64::from(self.get(place)?.index != 0);
        }
        Ok(count)
    }
}

/// Where an interface may stand, as the programs look for it.
fn places(index: u32) -> impl Iterator<Item = u32> {
    (0..INTERFACE_PROBES).map(move |probe| index.wrapping_add(probe) & (INTERFACE_ENTRIES - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_used_again() {
        let mut numbers = Numbers::default();
        for index in 1..=63 {
            assert_eq!(
                numbers.reserve(index, "eth").unwrap(),
                u8::try_from(index).unwrap()
            );
        }
        assert_eq!(numbers.reserve(7, "eth").unwrap(), 7);
        assert!(matches!(
            numbers.reserve(64, "eth63"),
            Err(DataplaneError::TooManyInterfaces { limit: 63, .. })
        ));
        numbers.release(7);
        assert_eq!(numbers.reserve(64, "eth63").unwrap(), 7);
        numbers.release_gone(|index| index < 3);
        assert_eq!(numbers.reserve(100, "eth").unwrap(), 3);
    }

    #[test]
    fn places_wrap_at_the_end_of_the_table() {
        assert_eq!(places(1023).collect::<Vec<_>>(), [1023, 0, 1, 2]);
        assert_eq!(places(2048 + 5).collect::<Vec<_>>(), [5, 6, 7, 8]);
    }
}
