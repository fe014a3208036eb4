//! Verdicts, and the record in a table image that a rule's verdict comes from.

use bytemuck::{Pod, Zeroable};

use crate::reason::Reason;

/// What a hook does with a packet. Only the hook adapters turn it into `XDP_*` or `TCX_*`.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// Goes on.
    Pass = 0,
    /// Is dropped.
    Drop = 1,
    /// Is dropped and, within the limits on replies, answered.
    Reject = 2,
}

/// Counter number that stands for "no rule".
pub const NO_RULE: u16 = u16::MAX;

/// A verdict with its cause.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What happens.
    pub verdict: Verdict,
    /// Why; [`Reason::Rule`] or [`Reason::Flow`] where `rule` says which.
    pub reason: Reason,
    /// Counter number of the deciding rule, or [`NO_RULE`].
    pub rule: u16,
    /// Log events that the rule may cause in each second; zero is none.
    pub log_per_second: u16,
}

impl Decision {
    /// The packet passes in a flow that this rule has let in.
    #[inline(always)]
    pub const fn of_flow(rule: u16) -> Self {
        Self {
            verdict: Verdict::Pass,
            reason: Reason::Flow,
            rule,
            log_per_second: 0,
        }
    }

    /// A decision that no rule made.
    #[inline(always)]
    pub const fn by(reason: Reason) -> Self {
        let verdict = if reason.passes() {
            Verdict::Pass
        } else {
            Verdict::Drop
        };
        Self {
            verdict,
            reason,
            rule: NO_RULE,
            log_per_second: 0,
        }
    }
}

/// One line of a table image's verdict table; the classifier finds its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct VerdictRecord {
    /// Counter number of the rule, put in when the image is bound to the counters; ordinal of the rule before.
    pub rule: u16,
    /// [`Verdict`].
    pub verdict: u8,
    /// Bits of [`verdict_flags`].
    pub flags: u8,
    /// Log events in each second; zero is none.
    pub log_per_second: u16,
    /// Spare.
    pub reserved: u16,
    /// When the rule ends, in ticks; zero is never. Put in when the image is bound.
    pub expires_ticks: u32,
    /// Number of the rule's limiter; zero is none. (No rule of this version is limited.)
    pub limiter: u32,
}

/// Bits of [`VerdictRecord::flags`].
pub mod verdict_flags {
    /// The record stands for a default, not for a rule: the reason is `default`.
    pub const DEFAULT: u8 = 1;
}

/// Verdict records in one block of an image.
pub const VERDICTS_PER_BLOCK: u32 = 4;

const _: () = assert!(size_of::<VerdictRecord>() == 16);
