//! The kernel's maps as collections.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use firewall_common::{
    address::{Address, Family},
    cell::reached,
    event::Event,
    flow::{BUCKET_WAYS, Bucket, Flow, FlowKey},
    fragment::{FragmentKey, FragmentRecord, ORPHANS_PER_SOURCE, ORPHANS_TOTAL},
    prefix_set::Entry,
    tables::{Buckets, SlowTables},
    word::Word,
};

use crate::prefix_set::{HeapMemory, PrefixSets};

/// Ticks of a budget's window: about a second.
const WINDOW_TICKS: u32 = 16;

/// A flow table.
#[derive(Debug)]
pub struct HostBuckets {
    buckets: Vec<Bucket>,
    filters: Vec<Word>,
}

impl HostBuckets {
    /// An empty table of so many buckets.
    #[must_use]
    pub fn new(buckets: u32) -> Self {
        Self {
            buckets: (0..buckets).map(|_| Bucket::new()).collect(),
            filters: (0..buckets).map(|_| Word::new(0)).collect(),
        }
    }

    /// Forgets every flow.
    pub(super) fn clear(&mut self) {
        self.buckets.fill_with(Bucket::new);
        self.filters.fill_with(|| Word::new(0));
    }

    /// Every flow in the table, expired ones included.
    pub fn iter(&self) -> impl Iterator<Item = (FlowKey, Flow)> + '_ {
        self.buckets
            .iter()
            .flat_map(|bucket| (0..BUCKET_WAYS).filter_map(|way| bucket.read(way)))
            .map(|(key, found)| (key, found.flow()))
    }
}

impl Buckets for HostBuckets {
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        self.buckets.get(index as usize)
    }

    fn filter(&self, index: u32) -> Option<&Word> {
        self.filters.get(index as usize)
    }
}

type Host = (Family, Address);

/// Start of a window and what was taken in it.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    start_ticks: u32,
    taken: u32,
}

impl Window {
    fn take(&mut self, budget: u32, now_ticks: u32) -> bool {
        if now_ticks.wrapping_sub(self.start_ticks) >= WINDOW_TICKS {
            *self = Self {
                start_ticks: now_ticks,
                taken: 0,
            };
        }
        let free = self.taken < budget;
        self.taken += u32::from(free);
        free
    }
}

/// Local addresses, bans, fragments and budgets.
#[derive(Debug)]
pub struct HostTables {
    list_blocks: u32,
    local: HashSet<Host>,
    bans: HashMap<Host, u32>,
    lists: Option<PrefixSets<HeapMemory>>,
    fragments: RefCell<HashMap<FragmentKey, FragmentRecord>>,
    orphans: RefCell<HashMap<Host, Window>>,
    all_orphans: RefCell<Window>,
}

impl HostTables {
    pub(super) fn new(list_blocks: u32) -> Self {
        Self {
            list_blocks,
            local: HashSet::new(),
            bans: HashMap::new(),
            lists: None,
            fragments: RefCell::default(),
            orphans: RefCell::default(),
            all_orphans: RefCell::default(),
        }
    }

    /// Also what was taken of the budgets for them.
    pub(super) fn forget_fragments(&mut self) {
        self.fragments.get_mut().clear();
        self.orphans.get_mut().clear();
        *self.all_orphans.get_mut() = Window::default();
    }

    /// Gives the host an address.
    pub fn add_local(&mut self, address: std::net::IpAddr) {
        self.local.insert(Address::from_ip(address));
    }

    pub(super) fn lists(&mut self) -> &mut PrefixSets<HeapMemory> {
        let blocks = self.list_blocks;
        self.lists
            .get_or_insert_with(|| PrefixSets::new(HeapMemory::new(blocks)))
    }

    pub(super) fn ban(&mut self, host: Host, expires_ticks: u32) {
        self.bans.insert(host, expires_ticks);
    }
}

impl SlowTables for HostTables {
    fn is_local(&self, family: Family, address: Address) -> bool {
        self.local.contains(&(family, address))
    }

    fn is_banned(&self, family: Family, address: Address, now_ticks: u32) -> bool {
        self.bans
            .get(&(family, address))
            .is_some_and(|&expires| expires == 0 || !reached(now_ticks, expires))
    }

    fn list_root(&self, slot: u8, family: Family, address: Address) -> Entry {
        let lists = self.lists.as_ref();
        lists.map_or(Entry::NONE, |lists| lists.root(slot, family, address))
    }

    fn is_listed(&self, root: Entry, family: Family, address: Address) -> bool {
        let lists = self.lists.as_ref();
        lists.is_some_and(|lists| lists.contains_under(root, family, address))
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRecord> {
        self.fragments.borrow().get(key).copied()
    }

    fn set_fragment(&self, key: &FragmentKey, record: &FragmentRecord) {
        self.fragments.borrow_mut().insert(*key, *record);
    }

    fn take_orphan_token(&self, family: Family, source: Address, now_ticks: u32) -> bool {
        self.all_orphans.borrow_mut().take(ORPHANS_TOTAL, now_ticks)
            && self
                .orphans
                .borrow_mut()
                .entry((family, source))
                .or_default()
                .take(ORPHANS_PER_SOURCE, now_ticks)
    }

    /// Events are made by the hooks, which a host does not have.
    fn log(&self, _event: &Event, _per_second: u16, _now_ticks: u32) {}
}
