//! The block lists of all slots.

use std::net::IpAddr;

use firewall_common::{
    abi::{SLOTS, names},
    address::Address,
    control::{Control, slot_flags},
};

use super::{
    mapped::MappedLists,
    maps,
    pins::file,
    session::Session,
    slots::{next_epoch, settings},
};
use crate::{
    dataplane::DataplaneError,
    prefix_set::{Change, Members, PrefixSets},
};

/// Lists that are mapped once a policy has some: a host without lists touches none of their memory.
pub(super) type Lists = Option<PrefixSets<MappedLists>>;

impl Session {
    pub(super) fn load_lists(&mut self, slot: u8, members: &Members) -> Result<(), DataplaneError> {
        let control = self.control();
        self.slots.check_loaded(&control, slot)?;
        let is_used = self.lists.is_some() || (0u8..).take(SLOTS).any(|slot| has_lists(&control, slot));
        if members.is_empty() && !is_used {
            return Ok(());
        }
        self.open_lists()?
            .load(slot, members)
            .map_err(DataplaneError::ListsFull)?;
        if !members.is_empty() {
            self.flag_lists(slot);
        }
        Ok(())
    }

    pub(super) fn change_lists(&mut self, slot: u8, changes: &[Change]) -> Result<u32, DataplaneError> {
        let control = self.control();
        self.slots.check_loaded(&control, slot)?;
        let lists = self.open_lists()?;
        if !has_lists(&control, slot) {
            // What stands there is of a former policy.
            lists
                .load(slot, &Members::default())
                .map_err(DataplaneError::ListsFull)?;
        }
        for change in changes {
            lists.apply(slot, change).map_err(DataplaneError::ListsFull)?;
        }
        self.flag_lists(slot);
        Ok(self.judge_again(slot))
    }

    pub(super) fn settle_lists(&mut self, slot: u8) -> Result<u32, DataplaneError> {
        self.slots.check_loaded(&self.control(), slot)?;
        self.open_lists()?.settle();
        Ok(self.judge_again(slot))
    }

    pub(super) fn list_members(&mut self, slot: u8) -> Result<Members, DataplaneError> {
        let control = self.control();
        self.slots.check_loaded(&control, slot)?;
        if !has_lists(&control, slot) {
            return Ok(Members::default());
        }
        Ok(self.open_lists()?.members(slot))
    }

    pub(super) fn has_lists(&self, slot: u8) -> bool {
        has_lists(&self.control(), slot)
    }

    /// Whether a slot's block lists have an address. Only where they are open.
    pub(super) fn is_listed(&self, slot: u8, address: IpAddr) -> bool {
        let (family, address) = Address::from_ip(address);
        let lists = self.lists.as_ref().filter(|_| has_lists(&self.control(), slot));
        lists.is_some_and(|lists| lists.contains(slot, family, address))
    }

    /// The lists, mapped.
    pub(super) fn open_lists(&mut self) -> Result<&mut PrefixSets<MappedLists>, DataplaneError> {
        let known = self.lists.take();
        let is_new = known.is_none();
        let mut lists = match known {
            Some(lists) => lists,
            None => PrefixSets::new(maps::lists(&self.pins, self.maps.sizes.list_blocks)?),
        };
        lists
            .memory_mut()
            .map()
            .map_err(file("map", &self.pins.path(names::LIST_BLOCKS)))?;
        if is_new {
            for slot in lists.adopt() {
                tracing::error!(slot, "the block lists of a slot were damaged and are empty now");
            }
        }
        Ok(self.lists.insert(lists))
    }

    /// Ends what [`Self::open_lists`] has begun.
    pub(super) fn close_lists(&mut self) {
        if let Some(lists) = &mut self.lists {
            lists.memory_mut().unmap();
        }
    }

    fn flag_lists(&self, slot: u8) {
        let flags = settings(&self.control(), slot).flags | slot_flags::LISTS;
        // The slot was found to exist.
        let _ = self.maps.control.write_flags(slot, flags);
    }

    /// Gives a slot's flows a new judgement.
    fn judge_again(&self, slot: u8) -> u32 {
        let epoch = next_epoch(&self.control());
        let _ = self.maps.control.write_epoch(slot, epoch);
        epoch
    }
}

fn has_lists(control: &Control, slot: u8) -> bool {
    settings(control, slot).flags & slot_flags::LISTS != 0
}
