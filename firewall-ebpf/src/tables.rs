//! The maps as `firewall-common` sees them.

use aya_ebpf::maps::{Array, LruHashMap, lpm_trie::Key};
use firewall_common::{
    address::{Address, Family},
    cell::reached,
    counters::{self, Hook},
    event::Event,
    flow::Bucket,
    fragment::{FragmentKey, FragmentRecord, ORPHANS_PER_SOURCE, ORPHANS_TOTAL as ORPHANS_TOTAL_BUDGET},
    image::Block,
    prefix_set::{self, PrefixTables},
    rehearsal::is_dry,
    tables::{Buckets, SlowTables},
    verdict::NO_RULE,
    word::Word,
};

use crate::maps::{
    BANS_V4, BANS_V6, EVENT_LOSS, EVENTS, FLOW_FILTERS, FLOWS, FRAGMENTS, HALF_FLOW_FILTERS, HALF_FLOWS,
    LIST_BLOCKS, LIST_ROOTS, LOCAL_ADDRESSES, LOG_WINDOWS, ORPHANS, ORPHANS_TOTAL,
};

/// Ticks of a budget's window: about a second.
const WINDOW_TICKS: u32 = 16;

pub(crate) struct AssuredFlows;

impl Buckets for AssuredFlows {
    #[inline(always)]
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        FLOWS.get(index)
    }

    #[inline(always)]
    fn filter(&self, index: u32) -> Option<&Word> {
        FLOW_FILTERS.get(index)
    }
}

pub(crate) struct HalfFlows;

impl Buckets for HalfFlows {
    #[inline(always)]
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        HALF_FLOWS.get(index)
    }

    #[inline(always)]
    fn filter(&self, index: u32) -> Option<&Word> {
        HALF_FLOW_FILTERS.get(index)
    }
}

pub(crate) struct KernelTables;

impl PrefixTables for KernelTables {
    #[inline(always)]
    fn root(&self, index: u32) -> u64 {
        match LIST_ROOTS.get_ptr(index) {
            // SAFETY: a map value, checked for null; the agent may write it at any time, in one go.
            Some(root) => unsafe { core::ptr::read_volatile(root) },
            None => 0,
        }
    }

    #[inline(always)]
    fn block(&self, index: u32) -> Option<&Block> {
        LIST_BLOCKS.get(index)
    }
}

/// An address as a hash key, both families in one space: IPv4 as `::ffff:a.b.c.d` (RFC 4291 2.5.5.2).
#[inline(always)]
pub(crate) const fn address_key(family: Family, address: Address) -> [u64; 2] {
    match family {
        Family::V4 => [0, 0xffff_0000_0000 | address.low],
        Family::V6 => [address.high, address.low],
    }
}

/// Start and count of a window, as they are now.
#[inline(always)]
fn opened(word: u64, now_ticks: u32) -> (u32, u32) {
    let (start, count) = (word as u32, (word >> 32) as u32);
    if now_ticks.wrapping_sub(start) >= WINDOW_TICKS {
        (now_ticks, 0)
    } else {
        (start, count)
    }
}

/// Whether one of `budget` tokens of a window is left.
#[inline(always)]
pub(crate) fn has_token(window: *const u64, budget: u32, now_ticks: u32) -> bool {
    // SAFETY: the pointer is a map value's, checked by the caller.
    let (_, count) = opened(unsafe { core::ptr::read_volatile(window) }, now_ticks);
    count < budget
}

/// The log window of a rule or, where none decided, of a reason.
#[inline(always)]
pub(crate) const fn log_window(rule: u16, hook: Hook, reason: u8) -> u32 {
    if rule == NO_RULE {
        counters::reason_index(hook, reason)
    } else {
        counters::REASON_ENTRIES + rule as u32
    }
}

/// Takes one of `budget` tokens of a window, a word of start (low) and count (high). Two CPUs may count one token
/// only; the bound is not exact.
#[inline(always)]
pub(crate) fn take_token(window: *mut u64, budget: u32, now_ticks: u32) -> bool {
    // SAFETY: the pointer is a map value's, checked by the caller.
    let (start, count) = opened(unsafe { core::ptr::read_volatile(window) }, now_ticks);
    if count >= budget {
        return false;
    }
    if is_dry() {
        return true;
    }
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile(window, u64::from(start) | u64::from(count + 1) << 32) };
    true
}

/// Takes a token of a source's window, making one where there is none.
#[inline(always)]
pub(crate) fn take_source_token(
    windows: &LruHashMap<[u64; 2], u64>,
    key: [u64; 2],
    budget: u32,
    now_ticks: u32,
) -> bool {
    match windows.get_ptr_mut(key) {
        Some(window) => take_token(window, budget, now_ticks),
        None if is_dry() => true,
        None => windows.insert(key, u64::from(now_ticks) | 1 << 32, 0).is_ok(),
    }
}

/// Takes a token of a window that all sources share.
#[inline(always)]
pub(crate) fn take_shared_token(window: &Array<u64>, budget: u32, now_ticks: u32) -> bool {
    window
        .get_ptr_mut(0)
        .is_some_and(|window| take_token(window, budget, now_ticks))
}

impl SlowTables for KernelTables {
    #[inline(always)]
    fn is_local(&self, family: Family, address: Address) -> bool {
        LOCAL_ADDRESSES.get_ptr(address_key(family, address)).is_some()
    }

    #[inline(always)]
    fn is_banned(&self, family: Family, address: Address, now_ticks: u32) -> bool {
        let expires = match family {
            Family::V4 => BANS_V4.get(Key::new(32, (address.low as u32).to_be_bytes())),
            Family::V6 => BANS_V6.get(Key::new(128, address.to_u128().to_be_bytes())),
        };
        // Zero is for ever.
        expires.is_some_and(|&expires| expires == 0 || !reached(now_ticks, expires as u32))
    }

    #[inline(always)]
    fn list_root(&self, slot: u8, family: Family, address: Address) -> prefix_set::Entry {
        prefix_set::root(self, slot, family, address)
    }

    #[inline(always)]
    fn is_listed(&self, root: prefix_set::Entry, family: Family, address: Address) -> bool {
        prefix_set::contains_under(self, root, family, address)
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRecord> {
        // SAFETY: the record is copied out; a torn one differs in its epoch or is as good as one of its two halves.
        unsafe { FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn set_fragment(&self, key: &FragmentKey, record: &FragmentRecord) {
        if is_dry() {
            return;
        }
        let _ = FRAGMENTS.insert(key, record, 0);
    }

    #[inline(always)]
    fn take_orphan_token(&self, family: Family, source: Address, now_ticks: u32) -> bool {
        take_shared_token(&ORPHANS_TOTAL, ORPHANS_TOTAL_BUDGET, now_ticks)
            && take_source_token(
                &ORPHANS,
                address_key(family, source),
                ORPHANS_PER_SOURCE,
                now_ticks,
            )
    }

    #[inline(always)]
    fn log(&self, event: &Event, per_second: u16, now_ticks: u32) {
        let hook = if event.hook == Hook::Ingress as u8 {
            Hook::Ingress
        } else {
            Hook::Egress
        };
        let Some(window) = LOG_WINDOWS.get_ptr_mut(log_window(event.rule, hook, event.reason)) else {
            return;
        };
        if !take_token(window, u32::from(per_second), now_ticks) {
            return;
        }
        if EVENTS.output::<Event>(event, 0).is_err()
            && let Some(lost) = EVENT_LOSS.get_ptr_mut(0)
        {
            // SAFETY: a per-CPU map value.
            unsafe { *lost += 1 };
        }
    }
}
