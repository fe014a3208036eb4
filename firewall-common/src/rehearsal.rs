//! Runs that no packet depends on: those of a replay tell what they decide, and dry runs change nothing either.
//!
//! The programs are the same; a read-only global says which runs they are loaded for, so that the kernel's verifier
//! takes out what is for others. A dry run goes every step of the way and leaves flows, counters, budgets, fragments
//! and events as they are: what it would have written counts as written.

use crate::{
    reason::Reason,
    verdict::{Decision, Verdict},
};

/// Values of the global `REHEARSAL`.
pub mod kind {
    /// Packets that come and go.
    pub const NONE: u8 = 0;
    /// A replay: each decision is told in the map `TOLD`.
    pub const TOLD: u8 = 1;
    /// A dry run: the decision is told, and nothing else is written.
    pub const DRY: u8 = 2;
}

/// Set by the loader: one of [`kind`].
#[cfg(target_arch = "bpf")]
#[unsafe(no_mangle)]
static REHEARSAL: u8 = kind::NONE;

#[inline(always)]
fn kind() -> u8 {
    #[cfg(target_arch = "bpf")]
    {
        // SAFETY: a read-only global of the object; volatile, since the loader may change it.
        unsafe { core::ptr::read_volatile(&raw const REHEARSAL) }
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        kind::NONE
    }
}

/// Whether decisions are to be told.
#[inline(always)]
#[must_use]
pub fn is_told() -> bool {
    kind() != kind::NONE
}

/// Whether nothing may be written but what is told. Never on a host, whose tables are nobody's.
#[inline(always)]
#[must_use]
pub fn is_dry() -> bool {
    kind() == kind::DRY
}

/// What stands in the map `TOLD` after a decision; zero before.
const MADE: u64 = 1 << 63;

/// A decision as it is told. How often its rule may log is not.
#[inline(always)]
#[must_use]
pub const fn told(decision: &Decision) -> u64 {
    MADE | decision.verdict as u64 | (decision.reason as u64) << 8 | (decision.rule as u64) << 16
}

/// The decision that was told; `None` where there is none.
#[must_use]
pub fn heard(word: u64) -> Option<Decision> {
    if word & MADE == 0 {
        return None;
    }
    let [verdict, reason, rule @ .., _, _, _, _] = word.to_le_bytes();
    let verdict = [Verdict::Pass, Verdict::Drop, Verdict::Reject]
        .into_iter()
        .find(|known| *known as u8 == verdict)?;
    Some(Decision {
        verdict,
        reason: Reason::from_number(reason)?,
        rule: u16::from_le_bytes(rule),
        log_per_second: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::NO_RULE;

    #[test]
    fn decisions_are_told_and_heard() {
        for reason in Reason::ALL {
            for rule in [0, 7, NO_RULE] {
                let decision = Decision {
                    verdict: Verdict::Reject,
                    reason: *reason,
                    rule,
                    log_per_second: 0,
                };
                assert_eq!(heard(told(&decision)), Some(decision));
            }
        }
        assert_eq!(heard(0), None, "nothing was decided");
        assert_eq!(heard(MADE | 3), None, "no such verdict");
        assert_eq!(heard(MADE | 0xff << 8), None, "no such reason");
    }
}
