//! The ban tables.

use std::net::IpAddr;

use aya::maps::{LpmTrie, MapData, lpm_trie::Key};
use firewall_common::{
    abi::{SLOTS, names},
    cell::Cell,
    control::slot_flags,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    maps::{map, typed},
    session::Session,
    slots::{next_epoch, settings},
    sys,
};
use crate::dataplane::{Bans, DataplaneError};

/// Both tables, open, and what stands in them.
#[derive(Debug)]
pub(super) struct BanTables {
    v4: LpmTrie<MapData, [u8; 4], u64>,
    v6: LpmTrie<MapData, [u8; 16], u64>,
    held: Bans,
}

impl Session {
    /// Makes the tables hold just these; returns the number of the judgement in force, which is a new one where
    /// anything was banned that was not before.
    pub(super) fn set_bans(&mut self, wanted: &Bans) -> Result<u32, DataplaneError> {
        let mut tables = match self.bans.take() {
            Some(tables) => tables,
            None => self.open_bans()?,
        };
        let changed = tables.change(wanted, || self.maps.control.write_bans(count(wanted).max(1)));
        // Kept even where it failed: what it holds is what was written.
        self.bans = Some(tables);
        let shuts = changed?;
        self.maps.control.write_bans(count(wanted));
        if !shuts {
            return Ok(self.epoch_in_force());
        }
        self.judge_all_again();
        // Packets that were judged before the ban may have opened flows; they are through afterwards.
        sys::grace_period().map_err(|source| DataplaneError::Syscall {
            action: "wait for packets that were judged before a ban",
            source,
        })?;
        Ok(self.judge_all_again())
    }

    /// Whether a ban that has not ended has an address.
    pub(super) fn is_banned(&self, address: IpAddr) -> Result<bool, DataplaneError> {
        let Some(tables) = self.bans.as_ref().filter(|tables| !tables.held.is_empty()) else {
            return Ok(false);
        };
        let clock = self.clock()?;
        let mut holding = tables
            .held
            .iter()
            .filter(|(_, expires)| **expires == 0 || !clock.until(**expires).is_zero());
        Ok(holding.any(|(prefix, _)| prefix.contains(&address)))
    }

    pub(super) fn ban_count(&self) -> u64 {
        self.bans.as_ref().map_or(0, |tables| tables.held.len() as u64)
    }

    fn open_bans(&self) -> Result<BanTables, DataplaneError> {
        let v4: LpmTrie<MapData, [u8; 4], u64> = typed(&self.pins, names::BANS_V4)?;
        let v6: LpmTrie<MapData, [u8; 16], u64> = typed(&self.pins, names::BANS_V6)?;
        let mut held = Bans::new();
        for entry in &v4 {
            let (key, expires) = entry.map_err(map("read", names::BANS_V4))?;
            insert(&mut held, key.data().into(), key.prefix_len(), expires);
        }
        for entry in &v6 {
            let (key, expires) = entry.map_err(map("read", names::BANS_V6))?;
            insert(&mut held, key.data().into(), key.prefix_len(), expires);
        }
        Ok(BanTables { v4, v6, held })
    }

    fn epoch_in_force(&self) -> u32 {
        let control = self.control();
        settings(&control, Cell::unpack(control.cell).slot).epoch
    }

    /// Gives every loaded slot a new judgement, the one in force last: the fallback's flows are not to live again when
    /// the kernel goes back to it.
    fn judge_all_again(&self) -> u32 {
        let in_force = Cell::unpack(self.control().cell).slot;
        let others = (0u8..).take(SLOTS).filter(|slot| *slot != in_force);
        for slot in others.chain([in_force]) {
            let control = self.control();
            if settings(&control, slot).flags & slot_flags::LOADED != 0 {
                // The slot was found to exist.
                let _ = self.maps.control.write_epoch(slot, next_epoch(&control));
            }
        }
        self.epoch_in_force()
    }
}

impl BanTables {
    /// Puts in what is missing and takes out what is not wanted; true where packets are dropped that were not before.
    /// `before_first` is called before anything is put in.
    fn change(&mut self, wanted: &Bans, before_first: impl FnOnce()) -> Result<bool, DataplaneError> {
        let different = |(prefix, expires): &(&IpNet, &u32)| self.held.get(*prefix) != Some(*expires);
        let put: Vec<(IpNet, u32)> = wanted
            .iter()
            .filter(different)
            .map(|(prefix, expires)| (*prefix, *expires))
            .collect();
        let is_unwanted = |prefix: &&IpNet| !wanted.contains_key(*prefix);
        let taken: Vec<IpNet> = self.held.keys().filter(is_unwanted).copied().collect();
        if !put.is_empty() {
            before_first();
        }
        for (prefix, expires) in &put {
            self.insert(*prefix, *expires)?;
        }
        for prefix in taken {
            self.remove(prefix)?;
        }
        Ok(!put.is_empty())
    }

    fn insert(&mut self, prefix: IpNet, expires: u32) -> Result<(), DataplaneError> {
        let bits = u32::from(prefix.prefix_len());
        match prefix {
            IpNet::V4(v4) => self
                .v4
                .insert(&Key::new(bits, v4.network().octets()), u64::from(expires), 0)
                .map_err(map("write", names::BANS_V4)),
            IpNet::V6(v6) => self
                .v6
                .insert(&Key::new(bits, v6.network().octets()), u64::from(expires), 0)
                .map_err(map("write", names::BANS_V6)),
        }?;
        self.held.insert(prefix, expires);
        Ok(())
    }

    fn remove(&mut self, prefix: IpNet) -> Result<(), DataplaneError> {
        let bits = u32::from(prefix.prefix_len());
        match prefix {
            IpNet::V4(v4) => self
                .v4
                .remove(&Key::new(bits, v4.network().octets()))
                .map_err(map("write", names::BANS_V4)),
            IpNet::V6(v6) => self
                .v6
                .remove(&Key::new(bits, v6.network().octets()))
                .map_err(map("write", names::BANS_V6)),
        }?;
        self.held.remove(&prefix);
        Ok(())
    }
}

fn count(bans: &Bans) -> u32 {
    u32::try_from(bans.len()).unwrap_or(u32::MAX)
}

/// The tables were written by this agent or one before it: a length that cannot be is nobody's.
fn insert(held: &mut Bans, address: IpAddr, bits: u32, expires: u64) {
    let bits = u8::try_from(bits).unwrap_or(u8::MAX);
    let prefix = match address {
        IpAddr::V4(v4) => Ipv4Net::new(v4, bits).map(IpNet::V4),
        IpAddr::V6(v6) => Ipv6Net::new(v6, bits).map(IpNet::V6),
    };
    if let Ok(prefix) = prefix {
        held.insert(prefix, u32::try_from(expires).unwrap_or(0));
    }
}
