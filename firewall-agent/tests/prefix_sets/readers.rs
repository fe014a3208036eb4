//! A reader beside a writer: each look-up sees the set before a change or after it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use firewall_agent::prefix_set::{HeapMemory, Members, Memory, Prefix, PrefixSets};
use firewall_common::{address::Family, image::Block, prefix_set::contains};

use crate::model::{Numbers, address};

/// Memory whose writer waits for the one reader, which counts up when it begins and ends a look-up.
#[derive(Clone)]
struct Watched {
    memory: Arc<HeapMemory>,
    progress: Arc<AtomicU64>,
}

impl Memory for Watched {
    fn capacity(&self) -> u32 {
        self.memory.capacity()
    }

    fn root(&self, index: u32) -> u64 {
        Memory::root(&*self.memory, index)
    }

    fn store_root(&self, index: u32, entry: u64) {
        self.memory.store_root(index, entry);
    }

    fn block(&self, index: u32) -> Block {
        Memory::block(&*self.memory, index)
    }

    fn write(&self, index: u32, block: &Block) {
        self.memory.write(index, block);
    }

    fn wait_for_readers(&self) {
        let seen = self.progress.load(Ordering::SeqCst);
        while seen % 2 == 1 && self.progress.load(Ordering::SeqCst) == seen {
            std::hint::spin_loop();
        }
    }
}

/// Addresses that stay members or stay none while their neighbours change.
struct Steady {
    family: Family,
    members: Vec<u128>,
    others: Vec<u128>,
}

/// Reads until told to end; returns how often.
fn read(watched: &Watched, steady: &Steady, end: &AtomicBool) -> u64 {
    let mut reads = 0;
    let look_up = |wanted: u128| {
        watched.progress.fetch_add(1, Ordering::SeqCst);
        let found = contains(&*watched.memory, 0, steady.family, address(wanted));
        watched.progress.fetch_add(1, Ordering::SeqCst);
        found
    };
    while !end.load(Ordering::Relaxed) {
        for member in &steady.members {
            assert!(look_up(*member), "{member:#x} is a member before and after");
        }
        for other in &steady.others {
            assert!(!look_up(*other), "{other:#x} is none before and after");
        }
        reads += 1;
    }
    reads
}

fn beside_a_writer(
    blocks: u32,
    members: &Members,
    steady: &Steady,
    mut write: impl FnMut(&mut PrefixSets<Watched>, &mut Numbers),
) {
    let watched = Watched {
        memory: Arc::new(HeapMemory::new(blocks)),
        progress: Arc::default(),
    };
    let mut sets = PrefixSets::new(watched.clone());
    sets.load(0, members).expect("there is room");
    let end = AtomicBool::new(false);
    let mut numbers = Numbers(2);
    let (reads, writes) = thread::scope(|scope| {
        let reader = scope.spawn(|| read(&watched, steady, &end));
        let until = Instant::now() + Duration::from_millis(1500);
        let mut writes = 0;
        while Instant::now() < until && !reader.is_finished() {
            write(&mut sets, &mut numbers);
            writes += 1;
        }
        end.store(true, Ordering::Relaxed);
        (reader.join().expect("no look-up was torn"), writes)
    });
    assert!(reads > 100 && writes > 100, "{reads} rounds, {writes} changes");
}

#[test]
fn ipv4_is_never_torn() {
    let base = 0x0a00_0000_u32;
    let steady = Steady {
        family: Family::V4,
        members: (0..200).map(|host| u128::from(base + host * 300)).collect(),
        others: (0..200).map(|host| u128::from(base + host * 300 + 1)).collect(),
    };
    let members: Vec<(u32, u32)> = steady
        .members
        .iter()
        .map(|member| (*member as u32, *member as u32))
        .collect();
    // Few blocks, so that they are used again and again. The form changes between points, changes and a bitmap.
    beside_a_writer(
        400,
        &Members::new(members, Vec::new()),
        &steady,
        |sets, numbers| {
            let place = base + (numbers.next() % 200) as u32 * 300 + 2;
            let inside: Vec<(u32, u32)> = match numbers.next() % 4 {
                0 => Vec::new(),
                1 => vec![(place, place + 200)],
                2 => (0..100)
                    .map(|host| (place + host * 2, place + host * 2))
                    .collect(),
                _ => vec![(place + 9, place + 9)],
            };
            sets.replace_v4(0, place, place + 290, &inside)
                .expect("there is room");
        },
    );
}

#[test]
fn ipv6_is_never_torn() {
    let base = 0x2001_0db8_u128 << 96;
    let hosts = |of: u128| (0..300_u128).map(move |site| base | ((site % 20) << 64) | (site << 12) | of);
    let steady = Steady {
        family: Family::V6,
        members: hosts(0).collect(),
        others: hosts(1).collect(),
    };
    let members: Vec<Prefix> = steady
        .members
        .iter()
        .map(|member| Prefix::new(*member, 128))
        .collect();
    beside_a_writer(
        8000,
        &Members::new(Vec::new(), members),
        &steady,
        |sets, numbers| {
            let site = u128::from(numbers.next() % 20);
            let place = Prefix::new(
                base | (site << 64) | (u128::from(numbers.next() % 30) << 12) | 0x800,
                117,
            );
            let inside: Vec<Prefix> = match numbers.next() % 3 {
                0 => Vec::new(),
                1 => vec![place],
                _ => (0..30)
                    .map(|host| Prefix::new(place.first() | host << 4, 127))
                    .collect(),
            };
            sets.replace_v6(0, place, &inside).expect("there is room");
        },
    );
}
