//! Dropped packets on their way to user space, for as long as somebody looks at them.

use bytemuck::{Pod, Zeroable};

use crate::{
    counters::Hook,
    reason::Reason,
    verdict::{Decision, Verdict},
};

/// Who looks at dropped packets. Each has settings, counts and a ring buffer of its own: neither takes anything from
/// the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Viewer {
    /// A capture, for an operator.
    Capture = 0,
    /// A shadow run, which asks another policy about them.
    Shadow = 1,
}

/// Entries of the maps that have one for each viewer.
pub const VIEWER_ENTRIES: u32 = 2;

/// How many viewers there are.
pub const VIEWERS: usize = VIEWER_ENTRIES as usize;

/// Bytes of a packet that are handed on at most.
pub const SNAP_BYTES: u32 = 2048;

/// Rules that one capture can be limited to: a rule of the policy is few rules here.
pub const CAPTURE_RULES: usize = 4;

/// Stands for every interface in [`CaptureSettings::interface`].
pub const ANY_INTERFACE: u32 = 0;

/// Stands for every reason in [`CaptureSettings::reason`].
pub const ANY_REASON: u8 = u8::MAX;

/// Stands for the reasons that another policy may decide otherwise (see [`Reason::is_of_policy`]).
pub const POLICY_REASONS: u8 = u8::MAX - 1;

/// Bits of [`CaptureSettings::hooks`].
#[inline(always)]
#[must_use]
pub const fn hook_bit(hook: Hook) -> u8 {
    1 << hook as u8
}

/// What is captured, and how much of it. The agent writes it while no capture is on; when one ends stands in the
/// control record, which every program reads anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CaptureSettings {
    /// Packets of this second: when it began in ticks, and how many were taken. Written by the programs.
    pub window: u64,
    /// Packets that may still be taken in all. Counted down by the programs.
    pub left: u64,
    /// Interface index, or [`ANY_INTERFACE`].
    pub interface: u32,
    /// Bytes of each packet, at most [`SNAP_BYTES`].
    pub snap_bytes: u32,
    /// Packets in a second.
    pub per_second: u32,
    /// Of the packets that are wanted one in so many is taken, by chance; zero and one are all.
    pub every: u32,
    /// Counter numbers of the rules that decide; the first `rule_count` count.
    pub rules: [u16; CAPTURE_RULES],
    /// How many there are; zero is packets of any rule and of none.
    pub rule_count: u8,
    /// [`Reason`], [`ANY_REASON`] or [`POLICY_REASONS`].
    pub reason: u8,
    /// Bits of [`hook_bit`].
    pub hooks: u8,
    /// Spare.
    pub reserved: [u8; 5],
}

impl CaptureSettings {
    /// Whether a packet is wanted that was dropped like this.
    #[inline(always)]
    #[must_use]
    pub fn takes(&self, cause: &Cause, hook: Hook, interface: u32) -> bool {
        self.hooks & hook_bit(hook) != 0
            && (self.interface == ANY_INTERFACE || self.interface == interface)
            && self.takes_reason(cause.reason)
            && self.takes_rule(cause.rule)
    }

    #[inline(always)]
    const fn takes_reason(&self, reason: u8) -> bool {
        match self.reason {
            ANY_REASON => true,
            POLICY_REASONS => Reason::is_number_of_policy(reason),
            wanted => wanted == reason,
        }
    }

    #[inline(always)]
    fn takes_rule(&self, rule: u16) -> bool {
        let [a, b, c, d] = self.rules;
        let count = self.rule_count;
        count == 0
            || a == rule
            || (count > 1 && b == rule)
            || (count > 2 && c == rule)
            || (count > 3 && d == rule)
    }
}

/// Why a packet is dropped, on its way to the program that captures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Cause {
    /// Counter number of the rule, or [`crate::verdict::NO_RULE`].
    pub rule: u16,
    /// [`crate::reason::Reason`].
    pub reason: u8,
    /// [`Verdict`].
    pub verdict: u8,
}

impl Cause {
    /// Of a decision.
    #[inline(always)]
    #[must_use]
    pub const fn of(decision: &Decision) -> Self {
        Self {
            rule: decision.rule,
            reason: decision.reason as u8,
            verdict: decision.verdict as u8,
        }
    }

    /// Whether the packet is to be answered.
    #[inline(always)]
    #[must_use]
    pub const fn is_reject(&self) -> bool {
        self.verdict == Verdict::Reject as u8
    }
}

/// What stands before the bytes of a captured packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CapturedHead {
    /// `bpf_ktime_get_ns` at the verdict.
    pub time_nanoseconds: u64,
    /// Interface index.
    pub interface: u32,
    /// Bytes of the packet from the link-level header on.
    pub length: u32,
    /// Why it was dropped.
    pub cause: Cause,
    /// Bytes that follow.
    pub captured: u16,
    /// `EtherType` of a VLAN tag that is not in the bytes; zero where there is none.
    pub tag_protocol: u16,
    /// The tag.
    pub tag: u16,
    /// [`Hook`].
    pub hook: u8,
    /// [`crate::interface::LinkType`].
    pub link_type: u8,
    /// Spare.
    pub reserved: [u8; 4],
}

/// Room for a captured packet.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct CapturedPacket {
    /// What is known of it.
    pub head: CapturedHead,
    /// Its first bytes.
    pub bytes: [u8; SNAP_BYTES as usize],
}

/// Whether a random word takes one in so many.
#[inline(always)]
#[must_use]
pub const fn is_sampled(every: u32, random: u32) -> bool {
    // The upper half of the product is below `every`, and each value of it as likely as any other.
    every <= 1 || (random as u64 * every as u64) >> 32 == 0
}

/// What has become of the packets that were wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CaptureCounts {
    /// Handed on.
    pub captured: u64,
    /// Left out, since there were more than the settings allow in a second, or in all.
    pub limited: u64,
    /// Lost, since they were not read in time or could not be copied.
    pub lost: u64,
    /// Left out by chance: see [`CaptureSettings::every`].
    pub skipped: u64,
}

const _: () = assert!(size_of::<CapturedHead>() == 32 && size_of::<CaptureSettings>() == 48);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::NO_RULE;

    const CAUSE: Cause = Cause {
        rule: 7,
        reason: 1,
        verdict: Verdict::Drop as u8,
    };

    fn everything() -> CaptureSettings {
        CaptureSettings {
            reason: ANY_REASON,
            hooks: hook_bit(Hook::Ingress) | hook_bit(Hook::Egress),
            ..CaptureSettings::zeroed()
        }
    }

    #[test]
    fn every_condition_counts() {
        let takes = |settings: CaptureSettings| settings.takes(&CAUSE, Hook::Ingress, 3);
        let rules = |rules, rule_count| CaptureSettings {
            rules,
            rule_count,
            ..everything()
        };
        assert!(takes(everything()));
        assert!(takes(rules([7, 0, 0, 0], 1)) && takes(rules([1, 2, 3, 7], 4)));
        assert!(!takes(rules([1, 7, 0, 0], 1)), "only the first counts");
        assert!(!takes(rules([1, 2, 3, 4], 4)));
        assert!(!rules([7; 4], 4).takes(
            &Cause {
                rule: NO_RULE,
                ..CAUSE
            },
            Hook::Ingress,
            3
        ));
        assert!(!takes(CaptureSettings {
            reason: 32,
            ..everything()
        }));
        assert!(takes(CaptureSettings {
            interface: 3,
            ..everything()
        }));
        assert!(!takes(CaptureSettings {
            interface: 4,
            ..everything()
        }));
        let hooks = hook_bit(Hook::Egress);
        assert!(!takes(CaptureSettings {
            hooks,
            ..everything()
        }));
    }

    #[test]
    fn what_no_policy_decides_can_be_left_out() {
        let settings = CaptureSettings {
            reason: POLICY_REASONS,
            ..everything()
        };
        let taken = Reason::ALL.iter().filter(|reason| {
            let cause = Cause {
                reason: **reason as u8,
                ..CAUSE
            };
            settings.takes(&cause, Hook::Ingress, 3)
        });
        assert!(taken.eq(&[Reason::Rule, Reason::Default, Reason::Listed]));
    }

    #[test]
    fn one_in_so_many_is_taken_evenly() {
        let taken = |every: u32| (0..1 << 16).filter(|word| is_sampled(every, word << 16)).count();
        assert_eq!([0, 1, 2, 10, 100].map(taken), [65_536, 65_536, 32_768, 6554, 656]);
        assert!(!is_sampled(u32::MAX, u32::MAX) && is_sampled(u32::MAX, 0));
    }
}
