//! The sets of all slots.

use firewall_common::{
    abi::SLOTS,
    address::{Address, Family},
    prefix_set::{self, Entry, FAMILY_ROOTS, Kind, MAX_DEPTH, PrefixTables, SLOT_ROOTS, contains},
};

use super::{
    Change, Full, Members, Memory, Prefix,
    arena::{Arena, Group},
    container::{self, Range},
    tree,
};

/// The sets of all slots, in memory that programs read. One writer.
#[derive(Debug)]
pub struct PrefixSets<M> {
    arena: Arena<M>,
}

impl<M: Memory> PrefixSets<M> {
    /// Sets in memory that holds none, or those that [`PrefixSets::adopt`] takes over.
    #[must_use]
    pub fn new(memory: M) -> Self {
        Self {
            arena: Arena::new(memory),
        }
    }

    /// The memory.
    pub const fn memory(&self) -> &M {
        &self.arena.memory
    }

    /// The memory, to be moved while nobody reads or writes through it.
    pub const fn memory_mut(&mut self) -> &mut M {
        &mut self.arena.memory
    }

    /// Blocks in use.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.arena.used()
    }

    /// Takes over what an earlier writer has left. A slot whose set is damaged is emptied; returns those.
    pub fn adopt(&mut self) -> Vec<u8> {
        let mut damaged = Vec::new();
        while let Some(slot) = self.count() {
            self.forget(slot);
            damaged.push(slot);
        }
        damaged
    }

    /// Counts who holds what; returns a slot whose set is damaged.
    fn count(&mut self) -> Option<u8> {
        self.arena.begin_count();
        let mut groups = Vec::new();
        for slot in 0..SLOTS as u8 {
            for index in roots(slot) {
                if !self.count_root(index, &mut groups) {
                    return Some(slot);
                }
            }
        }
        let mut overlapping = !self.arena.end_count(groups);
        overlapping &= self.used() > 0;
        overlapping
            .then(|| (0..SLOTS as u8).find(|slot| !self.is_empty(*slot)))
            .flatten()
    }

    fn count_root(&mut self, index: u32, groups: &mut Vec<Group>) -> bool {
        let entry = Entry(self.arena.memory.root(index));
        match Kind::from_number(entry.kind_number()) {
            None => false,
            Some(Kind::None | Kind::All | Kind::Few) => true,
            Some(Kind::Tree) => {
                tree::group(entry).is_some_and(|group| tree::count(&mut self.arena, group, groups, MAX_DEPTH))
            }
            Some(_) => container::group(entry).is_some_and(|group| match self.arena.count(group) {
                None => false,
                Some(is_first) => {
                    groups.extend(is_first.then_some(group));
                    true
                }
            }),
        }
    }

    /// Whether a slot has no members.
    #[must_use]
    pub fn is_empty(&self, slot: u8) -> bool {
        roots(slot).all(|index| self.arena.memory.root(index) == 0)
    }

    /// Empties a slot whose set cannot be read.
    fn forget(&self, slot: u8) {
        for index in roots(slot) {
            self.arena.memory.store_root(index, 0);
        }
    }

    /// Gives a slot that is not in force these members. What other slots have alike is shared with them. After an
    /// error the slot has none.
    pub fn load(&mut self, slot: u8, members: &Members) -> Result<(), Full> {
        let loaded = self
            .load_v4(slot, members.v4())
            .and_then(|()| self.load_v6(slot, members.v6()));
        if loaded.is_err() {
            for index in roots(slot) {
                self.store(index, Entry::NONE);
            }
        }
        loaded
    }

    fn load_v4(&mut self, slot: u8, members: &[(u32, u32)]) -> Result<(), Full> {
        let mut rest = members;
        let mut inside = Vec::new();
        for upper in 0..FAMILY_ROOTS {
            rest = below_root_v4(rest, upper, &mut inside);
            let index = root(slot, Family::V4, upper);
            let alike = |sets: &Self, entry| container::read(&sets.arena.memory, entry) == inside;
            let entry = match self.alike(index, alike) {
                _ if inside.is_empty() => Entry::NONE,
                Some(entry) => entry,
                None => container::write(&mut self.arena, &inside)?,
            };
            self.store(index, entry);
        }
        Ok(())
    }

    fn load_v6(&mut self, slot: u8, members: &[Prefix]) -> Result<(), Full> {
        let mut rest = members;
        for upper in 0..FAMILY_ROOTS {
            let of_root = root_prefix(upper);
            let count = rest
                .iter()
                .take_while(|prefix| prefix.first() <= of_root.last())
                .count();
            let inside = &rest[..count];
            // One that covers further roots stays.
            let done = inside
                .iter()
                .take_while(|prefix| prefix.last() <= of_root.last())
                .count();
            rest = &rest[done..];
            let index = root(slot, Family::V6, upper);
            let entry = match inside {
                [] => Entry::NONE,
                [whole, ..] if whole.covers(&of_root) => Entry::ALL,
                _ => match self.alike(index, |sets, entry| {
                    tree::read(&sets.arena.memory, entry) == inside
                }) {
                    Some(entry) => entry,
                    None => tree::write(&mut self.arena, inside)?,
                },
            };
            self.store(index, entry);
        }
        Ok(())
    }

    /// An entry of this slot or another at the same place that reads as wanted, held once more.
    fn alike(&mut self, index: u32, is_alike: impl Fn(&Self, Entry) -> bool) -> Option<Entry> {
        let places = (0..SLOTS as u32).map(|slot| slot * SLOT_ROOTS + index % SLOT_ROOTS);
        let mut entries: Vec<u64> = places.map(|place| self.arena.memory.root(place)).collect();
        entries.sort_unstable();
        entries.dedup();
        let entry = entries
            .into_iter()
            .map(Entry)
            .find(|entry| container::group(*entry).is_some() && is_alike(self, *entry))?;
        self.arena.hold(entry.first());
        Some(entry)
    }

    /// Stores an entry, and lets go of the one that stood there.
    fn store(&mut self, index: u32, entry: Entry) {
        let old = Entry(self.arena.memory.root(index));
        if old != entry {
            self.arena.memory.store_root(index, entry.0);
        }
        self.release(old);
    }

    fn release(&mut self, entry: Entry) {
        if entry.kind_number() == Kind::Tree as u8 {
            tree::release(&mut self.arena, entry);
        } else if let Some(group) = container::group(entry) {
            self.arena.let_go(group);
        }
    }

    /// Changes a slot that may be in force. A look-up sees the set before or after. After an error nothing has changed.
    pub fn apply(&mut self, slot: u8, change: &Change) -> Result<(), Full> {
        match change {
            Change::V4 { first, last, inside } => self.replace_v4(slot, *first, *last, inside),
            Change::V6 { place, inside } => self.replace_v6(slot, *place, inside),
        }
    }

    /// Has exactly `inside` (in order, merged) as members between `first` and `last`, in a slot that may be in force.
    /// A look-up sees the set before or after. After an error nothing has changed.
    pub fn replace_v4(&mut self, slot: u8, first: u32, last: u32, inside: &[(u32, u32)]) -> Result<(), Full> {
        let mut rest = inside;
        let mut below = Vec::new();
        let mut entries = Vec::new();
        for upper in first >> 16..=last >> 16 {
            rest = below_root_v4(rest, upper, &mut below);
            let from = if upper == first >> 16 { first as u16 } else { 0 };
            let to = if upper == last >> 16 {
                last as u16
            } else {
                u16::MAX
            };
            let index = root(slot, Family::V4, upper);
            let before = container::read(&self.arena.memory, Entry(self.arena.memory.root(index)));
            let after = container::replaced(&before, (from, to), &below);
            if after != before {
                match container::write(&mut self.arena, &after) {
                    Ok(entry) => entries.push((index, entry)),
                    Err(full) => return Err(self.undo(&entries, full)),
                }
            }
        }
        self.store_all(&entries);
        Ok(())
    }

    /// As [`PrefixSets::replace_v4`], for all that an IPv6 prefix covers; `inside` are disjoint, in order.
    pub fn replace_v6(&mut self, slot: u8, place: Prefix, inside: &[Prefix]) -> Result<(), Full> {
        if place.length <= 16 {
            return self.replace_roots_v6(slot, place, inside);
        }
        let index = root(slot, Family::V6, (place.high >> 48) as u32);
        let before = Entry(self.arena.memory.root(index));
        let around = if before == Entry::ALL {
            Some(Prefix::new(place.first(), 16))
        } else {
            tree::covering(&self.arena.memory, before, &place)
        };
        let after = match around {
            Some(around) if around == place && inside == [place] => return Ok(()),
            Some(around) if around != place => {
                if inside == [place] {
                    return Ok(());
                }
                let mut parts = around.without(&place);
                parts.extend(inside);
                parts.sort_unstable();
                tree::replaced(&mut self.arena, before, &around, &parts)
            }
            _ => tree::replaced(&mut self.arena, before, &place, inside),
        };
        match after {
            Ok(entry) => {
                self.store(index, entry);
                Ok(())
            }
            Err(full) => Err(self.undo(&[], full)),
        }
    }

    fn replace_roots_v6(&mut self, slot: u8, place: Prefix, inside: &[Prefix]) -> Result<(), Full> {
        let mut entries = Vec::new();
        for upper in (place.high >> 48) as u32..=(place.last() >> 112) as u32 {
            let of_root = root_prefix(upper);
            let below: Vec<Prefix> = inside
                .iter()
                .filter(|prefix| of_root.covers(prefix))
                .copied()
                .collect();
            let entry = if inside.iter().any(|prefix| prefix.covers(&of_root)) {
                Ok(Entry::ALL)
            } else {
                tree::write(&mut self.arena, &below)
            };
            match entry {
                Ok(entry) => entries.push((root(slot, Family::V6, upper), entry)),
                Err(full) => return Err(self.undo(&entries, full)),
            }
        }
        self.store_all(&entries);
        Ok(())
    }

    fn store_all(&mut self, entries: &[(u32, Entry)]) {
        for (index, entry) in entries {
            self.store(*index, *entry);
        }
    }

    /// Lets go of what was built for a change that did not fit: whatever no root entry leads to.
    fn undo(&mut self, _built: &[(u32, Entry)], full: Full) -> Full {
        // Readers may still know what rests; counting anew frees it.
        self.arena.memory.wait_for_readers();
        self.count();
        full
    }

    /// The members of a slot.
    #[must_use]
    pub fn members(&self, slot: u8) -> Members {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for upper in 0..FAMILY_ROOTS {
            let entry = Entry(self.arena.memory.root(root(slot, Family::V4, upper)));
            let ranges = container::read(&self.arena.memory, entry);
            let whole = |lower: u16| upper << 16 | u32::from(lower);
            v4.extend(
                ranges
                    .into_iter()
                    .map(|(first, last)| (whole(first), whole(last))),
            );
            let entry = Entry(self.arena.memory.root(root(slot, Family::V6, upper)));
            if entry == Entry::ALL {
                v6.push(root_prefix(upper));
            } else {
                v6.extend(tree::read(&self.arena.memory, entry));
            }
        }
        Members::new(v4, v6)
    }

    /// Waits for readers, so that all that is not used can be written again.
    pub fn settle(&mut self) {
        self.arena.wake();
    }
}

impl<M: Memory + PrefixTables> PrefixSets<M> {
    /// Whether a slot's set has an address, by the programs' own look-up.
    #[must_use]
    pub fn contains(&self, slot: u8, family: Family, address: Address) -> bool {
        contains(&self.arena.memory, slot, family, address)
    }

    /// Where that look-up begins.
    #[must_use]
    pub fn root(&self, slot: u8, family: Family, address: Address) -> Entry {
        prefix_set::root(&self.arena.memory, slot, family, address)
    }

    /// The rest of it.
    #[must_use]
    pub fn contains_under(&self, root: Entry, family: Family, address: Address) -> bool {
        prefix_set::contains_under(&self.arena.memory, root, family, address)
    }
}

const fn root(slot: u8, family: Family, upper: u32) -> u32 {
    let family = match family {
        Family::V4 => 0,
        Family::V6 => FAMILY_ROOTS,
    };
    slot as u32 * SLOT_ROOTS + family + upper
}

fn roots(slot: u8) -> std::ops::Range<u32> {
    let first = u32::from(slot) * SLOT_ROOTS;
    first..first + SLOT_ROOTS
}

/// All addresses of an IPv6 root entry.
fn root_prefix(upper: u32) -> Prefix {
    Prefix::new(u128::from(upper) << 112, 16)
}

/// The lower halves of those ranges that lie below a root entry; returns the ranges that go on behind it.
fn below_root_v4<'a>(ranges: &'a [(u32, u32)], upper: u32, inside: &mut Vec<Range>) -> &'a [(u32, u32)] {
    inside.clear();
    let (first, last) = (upper << 16, upper << 16 | 0xffff);
    let mut done = 0;
    for range in ranges.iter().take_while(|range| range.0 <= last) {
        inside.push((range.0.max(first) as u16, range.1.min(last) as u16));
        done += usize::from(range.1 <= last);
    }
    &ranges[done..]
}
