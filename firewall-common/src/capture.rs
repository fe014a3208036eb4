//! Dropped packets on their way to user space, for as long as somebody captures them.

use bytemuck::{Pod, Zeroable};

use crate::{
    counters::Hook,
    verdict::{Decision, Verdict},
};

/// Bytes of a packet that are handed on at most.
pub const SNAP_BYTES: u32 = 2048;

/// Rules that one capture can be limited to: a rule of the policy is few rules here.
pub const CAPTURE_RULES: usize = 4;

/// Stands for every interface in [`CaptureSettings::interface`].
pub const ANY_INTERFACE: u32 = 0;

/// Stands for every reason in [`CaptureSettings::reason`].
pub const ANY_REASON: u8 = u8::MAX;

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
    /// Counter numbers of the rules that decide; the first `rule_count` count.
    pub rules: [u16; CAPTURE_RULES],
    /// How many there are; zero is packets of any rule and of none.
    pub rule_count: u8,
    /// [`crate::reason::Reason`], or [`ANY_REASON`].
    pub reason: u8,
    /// Bits of [`hook_bit`].
    pub hooks: u8,
    /// Spare.
    pub reserved: u8,
}

impl CaptureSettings {
    /// Whether a packet is wanted that was dropped like this.
    #[inline(always)]
    #[must_use]
    pub fn takes(&self, cause: &Cause, hook: Hook, interface: u32) -> bool {
        self.hooks & hook_bit(hook) != 0
            && (self.interface == ANY_INTERFACE || self.interface == interface)
            && (self.reason == ANY_REASON || self.reason == cause.reason)
            && self.takes_rule(cause.rule)
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
}

const _: () = assert!(size_of::<CapturedHead>() == 32 && size_of::<CaptureSettings>() == 40);

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
}
