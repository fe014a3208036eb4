//! Maps as raw words, for what the dataplane offers nobody: emptying tables, bans, cells that point nowhere.

use std::{
    iter::repeat,
    net::IpAddr,
    path::{Path, PathBuf},
};

use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, lpm_trie::Key},
};
use bytemuck::{Zeroable, bytes_of, bytes_of_mut, cast_slice, cast_slice_mut};
use firewall_common::{
    abi::names,
    compact::CompactChain,
    control::Control,
    flow::BucketBytes,
    fragment::{FragmentKey, FragmentRecord},
    image::Block,
    tables::{Image, SliceImage},
};

const CONTROL_WORDS: usize = size_of::<Control>() / 8;
const BUCKET_WORDS: usize = size_of::<BucketBytes>() / 8;
const COMPACT_WORDS: usize = size_of::<CompactChain>() / 8;
const FRAGMENT_KEY_WORDS: usize = size_of::<FragmentKey>() / 8;
const FRAGMENT_WORDS: usize = size_of::<FragmentRecord>() / 8;

/// An address as the programs' hash key: IPv4 as `::ffff:a.b.c.d` (RFC 4291 2.5.5.2), the upper half first.
type AddressKey = [u64; 2];

/// The pinned maps of one dataplane.
pub(super) struct Tables {
    pins: PathBuf,
    control: Array<MapData, [u64; CONTROL_WORDS]>,
    flows: [Array<MapData, [u64; BUCKET_WORDS]>; 2],
    fragments: HashMap<MapData, [u64; FRAGMENT_KEY_WORDS], [u64; FRAGMENT_WORDS]>,
    /// Budgets by source: of fragments without a first, and of answers.
    windows: [HashMap<MapData, AddressKey, u64>; 2],
    /// The same budgets in total.
    totals: [Array<MapData, u64>; 2],
    local: HashMap<MapData, AddressKey, u64>,
    bans_v4: LpmTrie<MapData, [u8; 4], u64>,
    bans_v6: LpmTrie<MapData, [u8; 16], u64>,
}

impl Tables {
    pub(super) fn open(pins: PathBuf) -> Self {
        Self {
            control: open(&pins, names::CONTROL),
            flows: [names::FLOWS, names::HALF_FLOWS].map(|name| open(&pins, name)),
            fragments: open(&pins, names::FRAGMENTS),
            windows: [names::ORPHANS, names::REJECT_WINDOWS].map(|name| open(&pins, name)),
            totals: [names::ORPHANS_TOTAL, names::REJECT_TOTAL].map(|name| open(&pins, name)),
            local: open(&pins, names::LOCAL_ADDRESSES),
            bans_v4: open(&pins, names::BANS_V4),
            bans_v6: open(&pins, names::BANS_V6),
            pins,
        }
    }

    /// Empties the flow tables.
    pub(super) fn clear_flows(&mut self) {
        for table in &mut self.flows {
            for bucket in 0..table.len() {
                table.set(bucket, [0; BUCKET_WORDS], 0).expect("a bucket");
            }
        }
    }

    /// Empties everything but the slots.
    pub(super) fn clear(&mut self) {
        self.clear_flows();
        clear(&mut self.fragments);
        self.windows.iter_mut().for_each(clear);
        for total in &mut self.totals {
            total.set(0, 0, 0).expect("a budget");
        }
        clear(&mut self.local);
        clear_prefixes(&mut self.bans_v4);
        clear_prefixes(&mut self.bans_v6);
        self.change_control(|control| control.bans = 0);
    }

    /// Changes the control record.
    pub(super) fn change_control(&mut self, change: impl FnOnce(&mut Control)) {
        let mut words = self.control.get(&0, 0).expect("the control record");
        let mut control = Control::zeroed();
        bytes_of_mut(&mut control).copy_from_slice(cast_slice(&words));
        change(&mut control);
        cast_slice_mut(&mut words).copy_from_slice(bytes_of(&control));
        self.control.set(0, words, 0).expect("the control record");
    }

    pub(super) fn add_local(&mut self, address: IpAddr) {
        self.local.insert(key(address), 1, 0).expect("room for addresses");
    }

    pub(super) fn ban(&mut self, address: IpAddr, expires_ticks: u32) {
        let expires = u64::from(expires_ticks);
        let done = match address {
            IpAddr::V4(v4) => self.bans_v4.insert(&Key::new(32, v4.octets()), expires, 0),
            IpAddr::V6(v6) => self.bans_v6.insert(&Key::new(128, v6.octets()), expires, 0),
        };
        done.expect("room for bans");
    }

    /// Writes an image over the one that a slot of the dataplane has.
    pub(super) fn write_image(&self, slot: u8, blocks: &[Block]) {
        let mut image: Array<MapData, [u64; 8]> = open(&self.pins, &format!("{}_{slot}", names::IMAGE));
        let nothing = Block::zeroed();
        for (place, block) in (0..image.len()).zip(blocks.iter().chain(repeat(&nothing))) {
            image.set(place, block.0, 0).expect("a block");
        }
        let mut words = [0; COMPACT_WORDS];
        if let Some(chain) = SliceImage(blocks).compact(slot) {
            words.copy_from_slice(cast_slice(bytes_of(chain)));
        }
        let mut compact: Array<MapData, [u64; COMPACT_WORDS]> = open(&self.pins, names::COMPACT);
        compact.set(slot.into(), words, 0).expect("a compact chain");
    }
}

fn open<M>(pins: &Path, name: &str) -> M
where
    M: TryFrom<Map, Error = MapError>,
{
    MapData::from_pin(pins.join(name))
        .and_then(Map::from_map_data)
        .and_then(M::try_from)
        .expect("a pinned map")
}

fn key(address: IpAddr) -> AddressKey {
    let v6 = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let bits = v6.to_bits();
    [bits >> 64, bits & u128::from(u64::MAX)].map(|half| u64::try_from(half).expect("half of it"))
}

fn clear<K: Pod, V: Pod>(map: &mut HashMap<MapData, K, V>) {
    let keys: Vec<K> = map.keys().collect::<Result<_, _>>().expect("keys");
    for key in keys {
        map.remove(&key).expect("nobody else removes it");
    }
}

fn clear_prefixes<K: Pod>(map: &mut LpmTrie<MapData, K, u64>) {
    let keys: Vec<Key<K>> = map.keys().collect::<Result<_, _>>().expect("keys");
    for key in keys {
        map.remove(&key).expect("nobody else removes it");
    }
}
