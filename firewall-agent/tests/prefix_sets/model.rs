//! What a set should be: ranges, searched one by one.

use firewall_agent::prefix_set::{HeapMemory, Members, Prefix, PrefixSets};
use firewall_common::address::{Address, Family};

/// Ranges of one family, first and last address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model(pub(crate) Vec<(u128, u128)>);

impl Model {
    pub(crate) fn contains(&self, address: u128) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (first..=last).contains(&&address))
    }

    /// Takes out everything between two addresses and puts these ranges there.
    pub(crate) fn replace(&mut self, first: u128, last: u128, inside: &[(u128, u128)]) {
        let mut result = inside.to_vec();
        for range in &self.0 {
            if range.0 < first {
                result.push((range.0, range.1.min(first - 1)));
            }
            if range.1 > last {
                result.push((range.0.max(last + 1), range.1));
            }
        }
        self.0 = result;
    }

    /// Addresses at which something may begin or end.
    pub(crate) fn edges(&self) -> impl Iterator<Item = u128> {
        self.0.iter().flat_map(|(first, last)| {
            [
                first.wrapping_sub(1),
                *first,
                first.wrapping_add(1),
                *last,
                last.wrapping_add(1),
            ]
        })
    }
}

pub(crate) fn address(address: u128) -> Address {
    Address {
        high: (address >> 64) as u64,
        low: address as u64,
    }
}

pub(crate) fn has(sets: &PrefixSets<HeapMemory>, slot: u8, family: Family, wanted: u128) -> bool {
    sets.contains(slot, family, address(wanted))
}

/// A set of one slot, with both kinds of members.
pub(crate) fn loaded(blocks: u32, v4: Vec<(u32, u32)>, v6: Vec<Prefix>) -> PrefixSets<HeapMemory> {
    let mut sets = PrefixSets::new(HeapMemory::new(blocks));
    let members = Members::new(v4, v6);
    sets.load(0, &members).expect("there is room");
    assert_eq!(sets.members(0), members, "what is loaded can be read back");
    sets
}

/// Numbers that are always the same (Steele, Lea and Flood, `SplitMix`, OOPSLA 2014).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}
