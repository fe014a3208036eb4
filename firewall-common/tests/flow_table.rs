//! The flow table: its places, and two threads that work on a few buckets at once.
//!
//! That the stress tests can fail was shown by changing `flow/table.rs`, each change tried three to six times on two
//! cores that were busy with other work:
//!
//! | change | caught |
//! | --- | --- |
//! | `found` does not read the control word a second time | always, 1 to 8 torn flows in 20 million |
//! | `write` marks the entry live before its payload is there | always |
//! | `write` does not mark the entry busy | four of six runs, up to 53 torn flows |
//! | `lock` takes a lock that another holds | always, flows that stand in the table twice |
//! | `lock` stores instead of comparing and swapping | always, likewise |
//! | `insert` does not look for the key again under the lock | always, likewise |
//! | `insert` leaves the lock behind where the flow exists | always |
//! | `insert` leaves an ended flow of the same key | always |
//! | `write` gives up with the entry busy | always, places are lost |
//! | `write` leaves the index as it was | always |
//! | `place_and_write` leaves the filter as it was | always |
//! | `place_and_write` does not mark an overflow in the filter | always |
//!
//! `FIREWALL_STRESS_SECONDS` makes each of them run for longer.
#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers are cut to the width of the field that they check"
)]

#[expect(unreachable_pub, reason = "it is public where it is at home")]
#[path = "../../tests/src/stress.rs"]
mod stress;

use std::{
    collections::HashMap,
    sync::{
        Barrier, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use firewall_common::{
    address::Address,
    flow::{BUCKET_WAYS, Bucket, Flow, FlowKey, Found, Inserted, NewFlow, STATES, State, Table},
    tables::Buckets,
    word::Word,
};
use stress::stress;

const SEED: [u64; 4] = [
    0x1234_5678_9abc_def1,
    0x0fed_cba9_8765_4321,
    0xdead_beef_cafe_f00d,
    0x0bad_5eed,
];
const TIMEOUTS: [u32; STATES] = [1000; STATES];

struct Flows(Vec<Bucket>, Vec<Word>);

impl Flows {
    fn new(buckets: usize) -> Self {
        Self(
            (0..buckets).map(|_| Bucket::new()).collect(),
            (0..buckets).map(|_| Word::new(0)).collect(),
        )
    }

    fn table(&self) -> Table<'_, Self> {
        Table {
            buckets: self,
            mask: self.0.len() as u32 - 1,
        }
    }

    fn iter(&self) -> impl Iterator<Item = (FlowKey, Found<'_>)> {
        self.0
            .iter()
            .flat_map(|bucket| (0..BUCKET_WAYS).filter_map(|way| bucket.read(way)))
    }
}

impl Buckets for Flows {
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        self.0.get(index as usize)
    }

    fn filter(&self, index: u32) -> Option<&Word> {
        self.1.get(index as usize)
    }
}

fn key(number: u32) -> FlowKey {
    let address = |low: u32| Address {
        high: 0,
        low: u64::from(low),
    };
    FlowKey {
        remote: address(number.wrapping_mul(0x9e37_79b1)),
        local: address(7),
        remote_port: number as u16,
        local_port: 443,
        protocol: 6,
        family: 4,
        reserved: 0,
    }
}

/// A number that belongs to two others and to no other pair of them.
fn blend(number: u32, version: u32) -> u32 {
    (u64::from(number) << 32 | u64::from(version))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29) as u32
}

/// When a flow's rule ends: not while the clock stands below 2³⁰.
fn never(number: u32, version: u32) -> u32 {
    blend(number, version) >> 2 | 1 << 30
}

/// A flow each of whose fields says which key and which version of it they belong to.
fn flow(number: u32, version: u32, now_ticks: u32) -> NewFlow {
    NewFlow {
        key: key(number),
        flow: Flow {
            seen_ticks: now_ticks,
            state: State::Established,
            flags: 0,
            rule: number as u16,
        }
        .pack(),
        epoch: version,
        expires_ticks: never(number, version),
        local_acknowledgement: 0,
        opened_ticks: blend(version, number),
    }
}

fn insert(flows: &Flows, number: u32, version: u32, now_ticks: u32, evict: bool) -> Inserted {
    let new = flow(number, version, now_ticks);
    flows.table().insert(&new, new.key.hash(&SEED), &TIMEOUTS, evict)
}

fn find(flows: &Flows, number: u32) -> Option<Found<'_>> {
    flows.table().find(key(number).words(), key(number).hash(&SEED))
}

#[test]
fn what_is_inserted_is_found_until_it_is_deleted() {
    let flows = Flows::new(64);
    for number in 0..100 {
        assert!(find(&flows, number).is_none());
        assert_eq!(insert(&flows, number, 3, 1, false), Inserted::Done);
        assert_eq!(insert(&flows, number, 4, 1, false), Inserted::Exists);
        let found = find(&flows, number).expect("just inserted");
        assert_eq!((found.epoch(), found.flow().rule), (3, number as u16));
    }
    assert_eq!(flows.iter().count(), 100);
    for number in 0..100 {
        let found = find(&flows, number).expect("still there");
        assert!(found.delete());
        assert!(!found.delete(), "once only");
        assert!(find(&flows, number).is_none());
    }
    assert_eq!(flows.iter().count(), 0);
}

#[test]
fn changes_of_a_deleted_flow_reach_no_other() {
    let flows = Flows::new(1);
    assert_eq!(insert(&flows, 1, 3, 1, false), Inserted::Done);
    let stale = find(&flows, 1).expect("just inserted");
    assert!(stale.delete());
    for number in 2..9 {
        assert_eq!(insert(&flows, number, 3, 1, false), Inserted::Done);
    }
    let closed = Flow {
        state: State::Closing,
        ..stale.flow()
    };
    assert!(!stale.replace(closed), "the place holds another flow");
    assert!(!stale.judged(99, 0));
    assert!(
        flows
            .iter()
            .all(|(_, found)| found.flow().state == State::Established && found.epoch() == 3)
    );
}

#[test]
fn a_full_bucket_overflows_into_one_other_and_then_refuses() {
    let flows = Flows::new(2);
    let most = 2 * BUCKET_WAYS as u32;
    let held: Vec<u32> = (0..1000)
        .filter(|&number| insert(&flows, number, 1, 1, false) == Inserted::Done)
        .collect();
    assert_eq!(held.len() as u32, most);
    for &number in &held {
        assert!(find(&flows, number).is_some(), "{number}");
    }
    assert_eq!(insert(&flows, 5000, 1, 1, false), Inserted::Refused);
    assert_eq!(
        insert(&flows, 5000, 1, 1, true),
        Inserted::Done,
        "unless one may be pushed out"
    );
    assert_eq!(flows.iter().count() as u32, most);
}

#[test]
fn ended_and_closed_flows_give_way_and_the_longest_idle_is_evicted() {
    let flows = Flows::new(1);
    for number in 0..7 {
        assert_eq!(insert(&flows, number, 1, 100 + number, false), Inserted::Done);
    }
    assert_eq!(insert(&flows, 50, 1, 200, false), Inserted::Refused);
    let found = find(&flows, 3).expect("held");
    assert!(found.replace(Flow {
        state: State::Closing,
        ..found.flow()
    }));
    assert_eq!(insert(&flows, 51, 1, 200, false), Inserted::Done);
    assert!(find(&flows, 3).is_none(), "the closed one");
    assert_eq!(insert(&flows, 52, 1, 200, true), Inserted::Done);
    assert!(find(&flows, 0).is_none(), "the one that was idle for longest");
    assert_eq!(insert(&flows, 53, 1, 1101, false), Inserted::Done);
    assert!(find(&flows, 1).is_none(), "the only one that has expired");
    assert_eq!(flows.iter().count(), 7);
}

#[test]
fn a_flow_that_has_ended_gives_way_to_one_of_the_same_ends() {
    let flows = Flows::new(4);
    assert_eq!(insert(&flows, 1, 1, 100, false), Inserted::Done);
    assert_eq!(insert(&flows, 1, 2, 1099, false), Inserted::Exists);
    assert_eq!(insert(&flows, 1, 2, 1100, false), Inserted::Done);
    assert_eq!(find(&flows, 1).expect("held").epoch(), 2);
    assert_eq!(flows.iter().count(), 1);
    // Its rule has ended, though it was seen just now.
    let found = find(&flows, 1).expect("held");
    assert!(found.judged(2, 1150));
    assert_eq!(insert(&flows, 1, 3, 1149, false), Inserted::Exists);
    assert_eq!(insert(&flows, 1, 3, 1150, false), Inserted::Done);
    assert_eq!(find(&flows, 1).expect("held").epoch(), 3);
}

/// Buckets of the stress test: few, so that the threads meet in them all the time.
const STRESSED_BUCKETS: usize = 4;
/// Keys of the stress test: more than there are places.
const STRESSED_KEYS: u32 = 48;
/// How many seconds each stress test runs, where the environment does not say otherwise.
const STRESS_SECONDS: u64 = 2;
/// Rounds of the test that goes by rounds, at least, and how long they may take.
const LEAST_ROUNDS: u32 = 1000;
const PATIENCE: Duration = Duration::from_mins(1);
/// Steps of each thread between two looks at the whole table.
const STEPS: u32 = 2000;

/// The stress tests run one after the other: each needs two cores.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread has seen.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    found: u64,
    inserted: u64,
    deleted: u64,
    torn: u64,
}

/// One thread's share of a round.
fn work(flows: &Flows, random: &mut u64, version: &mut u32, seen: &mut Seen) {
    for _ in 0..STEPS {
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let number = (*random >> 33) as u32 % STRESSED_KEYS;
        match *random >> 60 {
            0..7 => look(flows, number, seen),
            7..13 => {
                *version = version.wrapping_add(2);
                // Now and then all flows have expired.
                let now_ticks = if (*random >> 50).is_multiple_of(64) {
                    5000
                } else {
                    1
                };
                let evict = *random >> 40 & 1 == 0;
                let done = insert(flows, number, *version, now_ticks, evict) == Inserted::Done;
                seen.inserted += u64::from(done);
            }
            13 | 14 => {
                let deleted = find(flows, number).is_some_and(|found| found.delete());
                seen.deleted += u64::from(deleted);
            }
            _ => {
                if let Some(found) = find(flows, number) {
                    found.touch(1);
                    found.acknowledge(number);
                    let _ = found.replace(Flow {
                        flags: found.flow().flags ^ 1,
                        ..found.flow()
                    });
                }
            }
        }
    }
}

/// Every field of a flow that is found belongs to the wanted key and to one version of it.
fn look(flows: &Flows, number: u32, seen: &mut Seen) {
    let Some(found) = find(flows, number) else {
        return;
    };
    seen.found += 1;
    let version = found.epoch();
    let whole = found.expires_ticks() == never(number, version) && found.flow().rule == number as u16;
    seen.torn += u64::from(!whole);
}

/// With nobody at work: no key stands twice, and what stands there is whole. Otherwise says what is wrong.
fn inspect(flows: &Flows) -> Result<(), String> {
    let mut count = HashMap::new();
    for (key, found) in flows.iter() {
        *count.entry(key).or_insert(0) += 1;
        let number = u32::from(found.flow().rule);
        if key != self::key(number) || found.opened_ticks() != blend(found.epoch(), number) {
            return Err(format!("{key:?} has the payload of another key: {found:?}"));
        }
        if !flows.table().may_hold(key.hash(&SEED)) {
            return Err(format!("the filters do not name {key:?}"));
        }
    }
    match count.iter().find(|&(_, &count)| count > 1) {
        Some((key, count)) => Err(format!("{key:?} stands in the table {count} times")),
        None => Ok(()),
    }
}

/// No lock was left behind, and no place was lost: all can be filled.
fn every_place_is_usable(flows: &Flows) {
    for (_, found) in flows.iter().collect::<Vec<_>>() {
        assert!(found.delete());
    }
    for number in 1000..10_000 {
        let _ = insert(flows, number, 1, 1, false);
    }
    assert_eq!(
        flows.iter().count(),
        STRESSED_BUCKETS * BUCKET_WAYS,
        "places were lost"
    );
    for number in 10_000..10_100 {
        assert_eq!(
            insert(flows, number, 1, 1, true),
            Inserted::Done,
            "a lock was left behind"
        );
    }
}

/// One thread replaces the flows of one full bucket as fast as it can, another looks them up.
#[test]
fn a_reader_sees_no_flow_half_replaced() {
    let _alone = alone();
    let (flows, time) = (Flows::new(1), stress(STRESS_SECONDS));
    let over = AtomicBool::new(false);
    let keys = BUCKET_WAYS as u32 + 1;
    let seen = thread::scope(|scope| {
        scope.spawn(|| {
            let mut version = 0u32;
            while !over.load(Ordering::Relaxed) {
                version = version.wrapping_add(1);
                let _ = insert(&flows, version % keys, version, version & 0xffff, true);
            }
        });
        let (start, mut seen) = (Instant::now(), Seen::default());
        while start.elapsed() < time {
            for number in (0..keys).cycle().take(1000) {
                look(&flows, number, &mut seen);
            }
        }
        over.store(true, Ordering::Relaxed);
        seen
    });
    println!("{seen:?}");
    assert_eq!(seen.torn, 0, "{seen:?}");
    assert!(seen.found > 100_000, "too little happened: {seen:?}");
}

/// Two threads enter the same flows at the same time, round after round.
#[test]
fn two_inserts_of_one_flow_make_one() {
    let _alone = alone();
    let time = stress(STRESS_SECONDS);
    let (flows, round, over) = (Flows::new(2), AtomicU32::new(0), AtomicBool::new(false));
    let done = AtomicU32::new(0);
    let keys = BUCKET_WAYS as u32;
    let enter_all = |number: u32| {
        for key in 0..keys {
            let _ = insert(&flows, number.wrapping_mul(31) + key, number, 1, false);
        }
    };
    let (rounds, twice) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = 0;
            while !over.load(Ordering::Acquire) {
                let now = round.load(Ordering::Acquire);
                if now != last {
                    last = now;
                    enter_all(now);
                    done.store(now, Ordering::Release);
                }
            }
        });
        let (start, mut twice) = (Instant::now(), 0);
        // On a busy machine the threads wait for each other, and a round takes long.
        while start.elapsed() < time
            || (round.load(Ordering::Acquire) <= LEAST_ROUNDS && start.elapsed() < PATIENCE)
        {
            let now = round.fetch_add(1, Ordering::AcqRel) + 1;
            enter_all(now);
            while done.load(Ordering::Acquire) != now {
                thread::yield_now();
            }
            let held: Vec<_> = flows.iter().collect();
            twice += usize::from(held.len() > keys as usize);
            for (_, found) in held {
                let _ = found.delete();
            }
        }
        over.store(true, Ordering::Release);
        (round.load(Ordering::Acquire), twice)
    });
    println!("{rounds} rounds, {twice} of them with a flow twice");
    assert_eq!(twice, 0, "of {rounds} rounds");
    assert!(rounds > LEAST_ROUNDS, "too little happened: {rounds} rounds");
}

/// Two threads insert, look up, change and delete the same few keys; after every few thousand steps one of them
/// inspects the table while the other waits.
///
#[test]
fn two_threads_see_no_torn_and_no_double_flow() {
    let _alone = alone();
    let (flows, time) = (Flows::new(STRESSED_BUCKETS), stress(STRESS_SECONDS));
    let (barrier, over, fault) = (Barrier::new(2), AtomicBool::new(false), Mutex::new(None));
    let start = Instant::now();
    let worker = |first: u64| {
        let (mut random, mut version, mut seen) = (first, first as u32, Seen::default());
        while !over.load(Ordering::SeqCst) {
            work(&flows, &mut random, &mut version, &mut seen);
            if barrier.wait().is_leader() {
                let result = inspect(&flows);
                over.store(result.is_err() || start.elapsed() > time, Ordering::SeqCst);
                *fault.lock().expect("nobody panics while holding it") = result.err();
            }
            barrier.wait();
        }
        seen
    };
    let seen = thread::scope(|scope| {
        let other = scope.spawn(|| worker(1));
        [worker(2), other.join().expect("the other thread ends")]
    });
    println!("{seen:?}");
    assert_eq!(fault.into_inner().expect("nobody panicked"), None);
    for seen in seen {
        assert_eq!(seen.torn, 0, "{seen:?}");
        let enough = seen.found > 10_000 && seen.inserted > 10_000 && seen.deleted > 1000;
        assert!(enough, "too little happened: {seen:?}");
    }
    every_place_is_usable(&flows);
}
