//! A flow table in an array of buckets, read without locks by programs on every CPU and by the agent.
//!
//! A bucket is eight cache lines: one of control words, then seven entries. A control word holds a tag (the upper
//! half of the key's hash), a sequence number and a phase (free, busy, live). A reader takes the control word, the
//! key, the payload and the control word again; where the two differ it has seen a change in progress and finds
//! nothing. An insert takes the bucket's lock by compare-and-swap, so that no key is ever entered twice; a delete is
//! one compare-and-swap of the control word and needs no lock, so the agent can delete without ever holding one.
//!
//! A flow lies in the bucket that its hash names or, where that was full, in one other; a bucket remembers that
//! something has overflowed from it.

use bytemuck::{Pod, Zeroable};

use super::{Flow, FlowKey, Timeouts};
use crate::{cell::reached, tables::Buckets, word::Word};

/// Entries in a bucket.
pub const BUCKET_WAYS: usize = 7;

/// How often a locked bucket is tried before an insert gives up. Holders keep it for some tens of nanoseconds.
const LOCK_TRIES: u32 = 32;

const LOCKED: u64 = 1;
const OVERFLOWED: u64 = 2;

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
#[repr(C)]
pub struct Entry {
    key: [Word; 5],
    /// [`Flow`], packed.
    flow: Word,
    /// Low half: epoch of the judgement that let it in. High half: when its rule ends, in ticks, or zero.
    judged: Word,
    /// Low half: what this end has last acknowledged (TCP). High half: when the flow was opened, in ticks.
    extra: Word,
}

/// Seven flows and their control words.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Bucket {
    lock: Word,
    controls: [Word; BUCKET_WAYS],
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
            controls: [const { Word::new(0) }; BUCKET_WAYS],
            entries: [const {
                Entry {
                    key: [const { Word::new(0) }; 5],
                    flow: Word::new(0),
                    judged: Word::new(0),
                    extra: Word::new(0),
                }
            }; BUCKET_WAYS],
        }
    }

    /// The live flow at `way`, read consistently.
    #[inline(always)]
    #[must_use]
    pub fn read(&self, way: usize) -> Option<(FlowKey, Found<'_>)> {
        let control = self.controls.get(way)?.load();
        if control & PHASE != LIVE {
            return None;
        }
        let entry = self.entries.get(way)?;
        let words = [0, 1, 2, 3, 4].map(|word| entry.key[word].load());
        let found = self.found(control)?;
        Some((FlowKey::from_words(words), found))
    }

    /// Reads the payload and checks that the entry did not change meanwhile.
    #[inline(always)]
    fn found(&self, control: u64) -> Option<Found<'_>> {
        let way = (control >> WAY_SHIFT) as usize & 7;
        let entry = self.entries.get(way)?;
        let (flow_word, judged, extra) = (entry.flow.load(), entry.judged.load(), entry.extra.load());
        let control_word = self.controls.get(way)?;
        (control_word.load() == control).then_some(Found {
            entry,
            control_word,
            control,
            flow_word,
            judged,
            extra,
        })
    }

    #[inline(always)]
    fn find(&self, words: &[u64; 5], tag: u64) -> Option<Found<'_>> {
        let mut way = 0;
        while way < BUCKET_WAYS {
            let control = self.controls[way].load();
            if control & !(LOW_HALF - PHASE) == tag | LIVE && self.entries[way].has_key(words) {
                return self.found(control);
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

    /// The best place for a new flow: free, else expired, else closed, else (if `evict`) idle for longest.
    #[cfg_attr(target_arch = "bpf", inline(never))]
    fn place(&self, now_ticks: u32, timeouts: &Timeouts, evict: bool) -> Option<usize> {
        let (mut best, mut best_score) = (0, 0u64);
        let mut way = 0;
        while way < BUCKET_WAYS {
            let control = self.controls[way].load();
            let flow = Flow::unpack(self.entries[way].flow.load());
            let score = score(control, flow, now_ticks, timeouts, evict);
            if score > best_score {
                (best, best_score) = (way, score);
            }
            way += 1;
        }
        (best_score != 0).then_some(best)
    }

    /// Writes a flow into `way`. The bucket is locked; a delete may still come between, then nothing is written.
    #[cfg_attr(target_arch = "bpf", inline(never))]
    fn write(&self, way: usize, tag: u64, new: &NewFlow) -> Option<()> {
        let control_word = self.controls.get(way)?;
        let control = control_word.load();
        let sequence = control.wrapping_add(SEQUENCE_STEP) & SEQUENCE;
        if control & PHASE == BUSY {
            return None;
        }
        control_word.compare_exchange(control, sequence | BUSY).ok()?;
        let entry = self.entries.get(way)?;
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
        entry
            .extra
            .store(u64::from(new.local_acknowledgement) | u64::from(new.opened_ticks) << 32);
        let sequence = sequence.wrapping_add(SEQUENCE_STEP) & SEQUENCE;
        control_word.store(tag | sequence | (way as u64) << WAY_SHIFT | LIVE);
        Some(())
    }
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
    entry: &'a Entry,
    control_word: &'a Word,
    control: u64,
    flow_word: u64,
    judged: u64,
    extra: u64,
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
        self.extra as u32
    }

    /// When it was opened, in ticks.
    #[inline(always)]
    #[must_use]
    pub const fn opened_ticks(&self) -> u32 {
        (self.extra >> 32) as u32
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
        if self.extra as u32 != acknowledgement {
            self.entry.extra.store_low(acknowledgement);
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
        self.control_word
            .compare_exchange(self.control, free | FREE)
            .is_ok()
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
    fn primary(&self, hash: u64) -> Option<&'a Bucket> {
        self.buckets.bucket(hash as u32 & self.mask)
    }

    #[inline(always)]
    fn secondary(&self, hash: u64) -> Option<&'a Bucket> {
        let step = ((hash >> 32) as u32).wrapping_mul(0x9e37_79b1) | 1;
        self.buckets.bucket((hash as u32 ^ step) & self.mask)
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
        if let Some(way) = primary.place(now, timeouts, evict) {
            return (primary.write(way, tag, new), lock_word);
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
        let written = bucket
            .place(new.flow as u32, timeouts, false)
            .and_then(|way| bucket.write(way, hash & !LOW_HALF, new));
        bucket.unlock(lock_word);
        written
    }
}
