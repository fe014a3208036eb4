//! Fragments: the first one's verdict holds for those that follow.

use super::Env;
use crate::{
    address::Family,
    counters::Hook,
    fragment::{FRAGMENT_SECONDS, FragmentKey, FragmentRecord},
    headers::Headers,
    reason::Reason,
    tables::SlowTables,
    verdict::{Decision, Verdict},
};

/// [`FRAGMENT_SECONDS`] in ticks of the shortest length that [`crate::control::ClockScale`] makes, 53 ms.
const FRAGMENT_TICKS: u32 = FRAGMENT_SECONDS * 19;

#[inline(always)]
fn key(headers: &Headers, hook: Hook) -> FragmentKey {
    FragmentKey {
        source: headers.source,
        destination: headers.destination,
        identification: headers.identification,
        protocol: if headers.family == Family::V4 as u8 {
            headers.protocol
        } else {
            0
        },
        family: headers.family,
        hook: hook as u8,
        reserved: 0,
    }
}

/// The verdict on a later piece.
#[inline(always)]
pub(super) fn later<I, A, H, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    family: Family,
    hook: Hook,
) -> Reason {
    // RFC 3128 3: a piece at offset 1 can only be there to overwrite the transport header.
    if headers.fragment_units == 1 {
        return Reason::FragmentOverlap;
    }
    if let Some(record) = env.slow.fragment(&key(headers, hook))
        && record.epoch == env.slot.epoch
        && env.now_ticks.wrapping_sub(record.made_ticks) < FRAGMENT_TICKS
    {
        if record.passed == 0 {
            return Reason::FragmentDenied;
        }
        if u32::from(headers.fragment_units) * 8 < u32::from(record.first_bytes) {
            return Reason::FragmentOverlap;
        }
        return Reason::Fragment;
    }
    // The kernel's reassembly delivers nothing without a first piece, and that one is judged.
    if env.slow.take_orphan_token(family, headers.source, env.now_ticks) {
        Reason::FragmentEarly
    } else {
        Reason::FragmentOrphans
    }
}

/// Keeps the verdict on a first fragment.
#[inline(always)]
pub(super) fn keep<I, A, H, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    decision: &Decision,
) {
    let record = FragmentRecord {
        made_ticks: env.now_ticks,
        rule: decision.rule,
        first_bytes: headers.fragment_bytes,
        passed: u32::from(matches!(decision.verdict, Verdict::Pass)),
        epoch: env.slot.epoch,
    };
    env.slow.set_fragment(&key(headers, hook), &record);
}
