//! A flow table in an array of buckets, read without locks by programs on every CPU and by the agent.
//!
//! A bucket is eight cache lines: one with the lock and an index, then seven entries. An entry is one cache line and
//! whole in itself, so that the packet of a live flow touches no other: control word, key, payload. The control word
//! holds a sequence number and a phase (free, busy, live). A reader takes the control word, the key, the payload and
//! the control word again; where the two differ it has seen a change in progress and finds nothing. An insert takes
//! the bucket's lock by compare-and-swap, so that no key is ever entered twice; a delete is one compare-and-swap of
//! the control word and needs no lock, so the agent can delete without ever holding one.
//!
//! A flow lies at the way of its bucket that its hash prefers or, where that was taken, at another, which the index
//! (a tag for each way, the upper half of its key's hash) tells without a look at the other entries. Where the whole
//! bucket was full it lies in one other; a bucket remembers that something has overflowed from it.
//!
//! Beside the buckets lies an array of filters, a word for each ([`filter`]), which the bucket's lock guards: most packets
//! of no flow are found to have none without a look at a bucket.

use bytemuck::{Pod, Zeroable};

use super::{Flow, FlowKey, Timeouts, filter};
use crate::{cell::reached, opaque::masked, tables::Buckets, word::Word};

/// Entries in a bucket.
pub const BUCKET_WAYS: usize = 7;

/// How often a locked bucket is tried before an insert gives up. Holders keep it for some tens of nanoseconds.
const LOCK_TRIES: u32 = 32;

const LOCKED: u64 = 1;
const OVERFLOWED: u64 = 2;

/// No way of a bucket.
const NO_PLACE: usize = BUCKET_WAYS;

const PHASE: u64 = 3;
const FREE: u64 = 0;
const BUSY: u64 = 1;
const LIVE: u64 = 2;
/// A live control word also holds its own place. What is computed from a loaded word is unknown to the kernel's
/// verifier; from the number of the round in which a search ended it would tell seven ways apart, and walk all that
/// follows for each.
const WAY_SHIFT: u32 = 2;
const WAY: u64 = 7 << WAY_SHIFT;
const SEQUENCE_STEP: u64 = 32;
const SEQUENCE: u64 = LOW_HALF & !(PHASE | WAY);
const LOW_HALF: u64 = 0xffff_ffff;

/// One flow in the table.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Entry {
    /// Low half: sequence, way, phase. High half: what this end has last acknowledged (TCP); it changes on its own.
    control: Word,
    key: [Word; 5],
    /// [`Flow`], packed.
    flow: Word,
    /// Low half: epoch of the judgement that let it in. High half: when its rule ends, in ticks, or zero.
    judged: Word,
}

/// Seven flows and what finds them.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Bucket {
    lock: Word,
    /// By way. High half: tag. Low half: when the flow was opened, in ticks.
    index: [Word; BUCKET_WAYS],
    entries: [Entry; BUCKET_WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 512 && size_of::<Entry>() == 64);

/// The bytes of a bucket, for maps and buffers.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct BucketBytes(pub [u64; 64]);

impl Default for Bucket {
    fn default() -> Self {
        Self::new()
    }
}

impl Bucket {
    /// An empty bucket.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lock: Word::new(0),
            index: [const { Word::new(0) }; BUCKET_WAYS],
            entries: [const { Entry::new() }; BUCKET_WAYS],
        }
    }

    /// The live flow at `way`, read consistently.
    #[inline(always)]
    #[must_use]
    pub fn read(&self, way: usize) -> Option<(FlowKey, Found<'_>)> {
        let entry = self.entries.get(way)?;
        let control = entry.control.load();
        if control & PHASE != LIVE {
            return None;
        }
        let words = [0, 1, 2, 3, 4].map(|word| entry.key[word].load());
        let found = self.found(control)?;
        Some((FlowKey::from_words(words), found))
    }

    /// Reads the payload and checks that the entry did not change meanwhile.
    #[inline(always)]
    fn found(&self, control: u64) -> Option<Found<'_>> {
        // Kept from LLVM, which would make `== 7` of the bound's check: kernels before 6.8 learn nothing from that.
        let way = masked::<7>((control >> WAY_SHIFT) as usize);
        let entry = self.entries.get(way)?;
        let (flow_word, judged) = (entry.flow.load(), entry.judged.load());
        (entry.control.load() as u32 == control as u32).then_some(Found {
            bucket: self,
            entry,
            control,
            flow_word,
            judged,
        })
    }

    /// Looks at the way that the hash prefers: one cache line.
    #[inline(always)]
    fn find_preferred(&self, words: &[u64; 5], hash: u64) -> Option<Found<'_>> {
        let entry = self.entries.get(preferred_way(hash))?;
        let control = entry.control.load();
        if control & PHASE == LIVE && entry.has_key(words) {
            self.found(control)
        } else {
            None
        }
    }

    /// Looks at the ways that the index names.
    #[inline(always)]
    fn find(&self, words: &[u64; 5], tag: u64) -> Option<Found<'_>> {
        let mut way = 0;
        while way < BUCKET_WAYS {
            if self.index[way].load() & !LOW_HALF == tag {
                let entry = &self.entries[way];
                let control = entry.control.load();
                if control & PHASE == LIVE && entry.has_key(words) {
                    return self.found(control);
                }
            }
            way += 1;
        }
        None
    }

    /// Takes the lock; returns the lock word as it was.
    #[inline(always)]
    fn lock(&self) -> Option<u64> {
        let mut tries = 0;
        while tries < LOCK_TRIES {
            let word = self.lock.load();
            if word & LOCKED == 0 && self.lock.compare_exchange(word, word | LOCKED).is_ok() {
                return Some(word);
            }
            tries += 1;
        }
        None
    }

    #[inline(always)]
    fn unlock(&self, word: u64) {
        self.lock.store(word & !LOCKED);
    }

    /// The best place for a new flow: the preferred way where that is free, else one that is free, else expired, else
    /// closed, else (if `evict`) idle for longest. [`NO_PLACE`] where there is none.
    #[inline(always)]
    fn place(&self, hash: u64, now_ticks: u32, timeouts: &Timeouts, evict: bool) -> usize {
        let preferred = preferred_way(hash);
        match self.entries.get(preferred) {
            Some(entry) if entry.control.load() & PHASE == FREE => preferred,
            _ => self.best_place(now_ticks, timeouts, evict),
        }
    }

    #[cfg_attr(target_arch = "bpf", inline(never))]
    fn best_place(&self, now_ticks: u32, timeouts: &Timeouts, evict: bool) -> usize {
        let (mut best, mut best_score) = (NO_PLACE, 0u64);
        let mut way = 0;
        while way < BUCKET_WAYS {
            let entry = &self.entries[way];
            let flow = Flow::unpack(entry.flow.load());
            let score = score(entry.control.load(), flow, now_ticks, timeouts, evict);
            if score > best_score {
                (best, best_score) = (way, score);
            }
            way += 1;
        }
        best
    }

    /// Writes a flow into `way`. The bucket is locked; a delete may still come between, then nothing is written.
    #[cfg_attr(target_arch = "bpf", inline(never))]
    fn write(&self, way: usize, tag: u64, new: &NewFlow) -> Option<()> {
        let entry = self.entries.get(way)?;
        let control = entry.control.load();
        let sequence = control.wrapping_add(SEQUENCE_STEP) & SEQUENCE;
        if control & PHASE == BUSY || !entry.control.replace_by_low(control, sequence | BUSY) {
            return None;
        }
        let words = new.key.words();
        entry.key[0].store(words[0]);
        entry.key[1].store(words[1]);
        entry.key[2].store(words[2]);
        entry.key[3].store(words[3]);
        entry.key[4].store(words[4]);
        entry.flow.store(new.flow);
        entry
            .judged
            .store(u64::from(new.epoch) | u64::from(new.expires_ticks) << 32);
        self.index.get(way)?.store(tag | u64::from(new.opened_ticks));
        let sequence = sequence.wrapping_add(SEQUENCE_STEP) & SEQUENCE;
        let acknowledgement = u64::from(new.local_acknowledgement) << 32;
        entry
            .control
            .store(acknowledgement | sequence | (way as u64) << WAY_SHIFT | LIVE);
        Some(())
    }
}

/// The way of its bucket that a hash prefers.
#[inline(always)]
fn preferred_way(hash: u64) -> usize {
    masked::<7>((((hash >> 32) * BUCKET_WAYS as u64) >> 32) as usize)
}

const EVICTABLE: u64 = 1 << 31;

#[inline(always)]
fn score(control: u64, flow: Flow, now_ticks: u32, timeouts: &Timeouts, evict: bool) -> u64 {
    if control & PHASE == FREE {
        return EVICTABLE + 3;
    }
    if control & PHASE != LIVE {
        return 0;
    }
    if flow.is_expired(now_ticks, timeouts) {
        return EVICTABLE + 2;
    }
    if flow.state.is_closed() {
        return EVICTABLE + 1;
    }
    if evict {
        u64::from(now_ticks.wrapping_sub(flow.seen_ticks) & (1 << 30) - 1) + 1
    } else {
        0
    }
}

impl Entry {
    const fn new() -> Self {
        Self {
            control: Word::new(0),
            key: [const { Word::new(0) }; 5],
            flow: Word::new(0),
            judged: Word::new(0),
        }
    }

    #[inline(always)]
    fn has_key(&self, words: &[u64; 5]) -> bool {
        self.key[4].load() == words[4]
            && self.key[1].load() == words[1]
            && self.key[3].load() == words[3]
            && self.key[0].load() == words[0]
            && self.key[2].load() == words[2]
    }
}

/// A flow as it was found, with the place to change it.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    bucket: &'a Bucket,
    entry: &'a Entry,
    control: u64,
    flow_word: u64,
    judged: u64,
}

impl Found<'_> {
    /// State, flags, rule and time.
    #[inline(always)]
    #[must_use]
    pub const fn flow(&self) -> Flow {
        Flow::unpack(self.flow_word)
    }

    /// Epoch of the judgement that let it in.
    #[inline(always)]
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.judged as u32
    }

    /// When its rule ends, in ticks; zero is never.
    #[inline(always)]
    #[must_use]
    pub const fn expires_ticks(&self) -> u32 {
        (self.judged >> 32) as u32
    }

    /// Whether it has been idle for too long, or its rule has ended. It lies in the table until its place is needed.
    #[inline(always)]
    #[must_use]
    pub fn has_ended(&self, now_ticks: u32, timeouts: &Timeouts) -> bool {
        let rule_ended = self.expires_ticks() != 0 && reached(now_ticks, self.expires_ticks());
        rule_ended || self.flow().is_expired(now_ticks, timeouts)
    }

    /// What this end has last acknowledged (TCP).
    #[inline(always)]
    #[must_use]
    pub const fn local_acknowledgement(&self) -> u32 {
        (self.control >> 32) as u32
    }

    /// When it was opened, in ticks. Read now, not when the flow was found: another may have taken the place since.
    #[inline(always)]
    #[must_use]
    pub fn opened_ticks(&self) -> u32 {
        let way = masked::<7>((self.control >> WAY_SHIFT) as usize);
        self.bucket.index.get(way).map_or(0, |word| word.load() as u32)
    }

    /// Notes that a packet was seen; writes only where the time has moved on.
    #[inline(always)]
    pub fn touch(&self, now_ticks: u32) {
        if self.flow_word as u32 != now_ticks {
            self.entry.flow.store_low(now_ticks);
        }
    }

    /// Notes what this end has acknowledged.
    #[inline(always)]
    pub fn acknowledge(&self, acknowledgement: u32) {
        if self.local_acknowledgement() != acknowledgement {
            self.entry.control.store_high(acknowledgement);
        }
    }

    /// Replaces state, flags, rule and time, unless another packet has changed them meanwhile.
    #[inline(always)]
    pub fn replace(&self, flow: Flow) -> bool {
        self.entry
            .flow
            .compare_exchange(self.flow_word, flow.pack())
            .is_ok()
    }

    /// Notes a new judgement.
    #[inline(always)]
    pub fn judged(&self, epoch: u32, expires_ticks: u32) -> bool {
        let judged = u64::from(epoch) | u64::from(expires_ticks) << 32;
        self.entry.judged.compare_exchange(self.judged, judged).is_ok()
    }

    /// Ends the flow. False where it had already ended.
    #[inline(always)]
    #[must_use = "another flow may have taken the place"]
    pub fn delete(&self) -> bool {
        let free = self.control.wrapping_add(SEQUENCE_STEP) & SEQUENCE;
        self.entry.control.replace_by_low(self.control, free | FREE)
    }
}

/// A flow to be entered.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct NewFlow {
    /// What identifies it.
    pub key: FlowKey,
    /// [`Flow`], packed.
    pub flow: u64,
    /// Epoch of the judgement that lets it in.
    pub epoch: u32,
    /// When its rule ends, in ticks; zero is never.
    pub expires_ticks: u32,
    /// What this end has acknowledged (TCP).
    pub local_acknowledgement: u32,
    /// When it was opened, in ticks.
    pub opened_ticks: u32,
}

/// What came of an insert.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is in the table.
    Done,
    /// It was there already.
    Exists,
    /// Both its buckets are full of live flows, or stayed locked.
    Refused,
}

/// What the place of a flow's second bucket is taken from.
#[inline(always)]
const fn second(hash: u64) -> u32 {
    let step = ((hash >> 32) as u32).wrapping_mul(0x9e37_79b1) | 1;
    hash as u32 ^ step
}

/// One of the two tables.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a, B> {
    /// Its buckets.
    pub buckets: &'a B,
    /// Number of buckets less one; a power of two less one.
    pub mask: u32,
}

impl<'a, B: Buckets> Table<'a, B> {
    #[inline(always)]
    const fn primary_index(&self, hash: u64) -> u32 {
        hash as u32 & self.mask
    }

    #[inline(always)]
    const fn secondary_index(&self, hash: u64) -> u32 {
        second(hash) & self.mask
    }

    #[inline(always)]
    fn filter(&self, place: u32) -> Option<&'a Word> {
        self.buckets.filter(place & self.mask)
    }

    #[inline(always)]
    fn primary(&self, hash: u64) -> Option<&'a Bucket> {
        self.buckets.bucket(self.primary_index(hash))
    }

    #[inline(always)]
    fn secondary(&self, hash: u64) -> Option<&'a Bucket> {
        self.buckets.bucket(self.secondary_index(hash))
    }

    /// The live flow of this key. As [`Self::find`], but the preferred way is looked at before the index, and the filter
    /// between the two. Where a flow is not `expected`, the filter is first: it spares packets of no flow the entry, which
    /// lies in no cache, and costs those of a flow two or three nanoseconds.
    #[inline(always)]
    pub fn find_live(&self, words: &[u64; 5], hash: u64, expected: bool) -> Option<Found<'a>> {
        if !expected && !self.may_hold(hash) {
            return None;
        }
        match self.primary(hash)?.find_preferred(words, hash) {
            Some(found) => Some(found),
            None if self.may_hold(hash) => self.find(words, hash),
            None => None,
        }
    }

    /// The live flow of this key. An expired flow is found, too; the caller looks at the time.
    #[inline(always)]
    pub fn find(&self, words: &[u64; 5], hash: u64) -> Option<Found<'a>> {
        let tag = hash & !LOW_HALF;
        let bucket = self.primary(hash)?;
        if let Some(found) = bucket.find(words, tag) {
            return Some(found);
        }
        if bucket.lock.load() & OVERFLOWED == 0 {
            return None;
        }
        self.secondary(hash)?.find(words, tag)
    }

    /// Whether there may be a flow of this hash. Nearly always, one look at eight bytes tells that there is none. Tags
    /// of ended flows stay in a filter until their places are taken.
    #[inline(always)]
    pub fn may_hold(&self, hash: u64) -> bool {
        let Some(filter) = self.filter(hash as u32) else {
            return true;
        };
        let word = filter.load();
        if filter::names(word, hash) {
            return true;
        }
        if !filter::has_overflowed(word) {
            return false;
        }
        self.filter(second(hash))
            .is_none_or(|filter| filter::names(filter.load(), hash))
    }

    /// As [`Self::find`]; a function of its own on BPF, for its share of the 512 bytes of stack.
    #[cfg_attr(target_arch = "bpf", inline(never))]
    pub fn find_outlined(&self, words: &[u64; 5], hash: u64) -> Option<Found<'a>> {
        self.find(words, hash)
    }

    /// Enters a flow. With `evict`, a full bucket gives up the flow that has been idle for longest.
    ///
    /// A function of its own on BPF, for its share of the 512 bytes of stack.
    #[cfg_attr(target_arch = "bpf", inline(never))]
    pub fn insert(&self, new: &NewFlow, hash: u64, timeouts: &Timeouts, evict: bool) -> Inserted {
        let Some(primary) = self.primary(hash) else {
            return Inserted::Refused;
        };
        let Some(lock_word) = primary.lock() else {
            return Inserted::Refused;
        };
        let words = new.key.words();
        if let Some(found) = self.find_outlined(words, hash) {
            if !found.has_ended(new.flow as u32, timeouts) {
                primary.unlock(lock_word);
                return Inserted::Exists;
            }
            // What has ended gives way to the new flow of the same ends.
            let _ = found.delete();
        }
        let (written, lock_word) = self.place_and_write(primary, lock_word, new, hash, timeouts, evict);
        primary.unlock(lock_word);
        if written.is_some() {
            Inserted::Done
        } else {
            Inserted::Refused
        }
    }

    /// Writes into the primary bucket, else the secondary one; returns the primary's new lock word.
    #[inline(always)]
    fn place_and_write(
        &self,
        primary: &Bucket,
        lock_word: u64,
        new: &NewFlow,
        hash: u64,
        timeouts: &Timeouts,
        evict: bool,
    ) -> (Option<()>, u64) {
        let tag = hash & !LOW_HALF;
        let now = new.flow as u32;
        let way = primary.place(hash, now, timeouts, evict);
        let filter = self.filter(hash as u32);
        if way != NO_PLACE {
            if let Some(filter) = filter {
                filter.store(filter::naming(filter.load(), way, hash));
            }
            return (primary.write(way, tag, new), lock_word);
        }
        // The mark comes before the flow: who finds the flow missing has seen no mark either.
        if let Some(filter) = filter {
            filter.store(filter::overflowed(filter.load()));
        }
        let written = self.write_secondary(new, hash, timeouts);
        (
            written,
            if written.is_some() {
                lock_word | OVERFLOWED
            } else {
                lock_word
            },
        )
    }

    #[inline(always)]
    fn write_secondary(&self, new: &NewFlow, hash: u64, timeouts: &Timeouts) -> Option<()> {
        let bucket = self.secondary(hash)?;
        let lock_word = bucket.lock()?;
        let way = bucket.place(hash, new.flow as u32, timeouts, false);
        if way != NO_PLACE
            && let Some(filter) = self.filter(second(hash))
        {
            filter.store(filter::naming(filter.load(), way, hash));
        }
        let written = bucket.write(way, hash & !LOW_HALF, new);
        bucket.unlock(lock_word);
        written
    }
}
