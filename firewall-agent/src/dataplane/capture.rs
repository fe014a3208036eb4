//! Captures of dropped packets, as the kernel side is told of them and hands them on.

use bytemuck::try_pod_read_unaligned;
use firewall_common::{
    capture::{
        ANY_INTERFACE, ANY_REASON, CAPTURE_RULES, CaptureSettings, CapturedHead, POLICY_REASONS, SNAP_BYTES,
        hook_bit,
    },
    counters::Hook,
    reason::Reason,
};

use super::event_stream::{Record, RecordStream};

/// Which dropped packets are captured, and how much of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureFilter {
    /// Counter numbers of the rules that decide, at most [`CAPTURE_RULES`]; packets of any rule and of none where there
    /// are none.
    pub rules: Vec<u16>,
    /// Why they are dropped.
    pub reasons: CaptureReasons,
    /// Index of their interface.
    pub interface: Option<u32>,
    /// Which way they go; both where it is left out.
    pub hook: Option<Hook>,
    /// Bytes of each packet; never more than [`SNAP_BYTES`].
    pub snap_bytes: u32,
    /// Of them one in so many, by chance; zero and one are all.
    pub every: u32,
    /// Packets in a second.
    pub per_second: u32,
    /// Packets in all.
    pub packets: u64,
}

/// Why packets are dropped that are captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CaptureReasons {
    /// For any reason.
    #[default]
    Any,
    /// For this one.
    One(Reason),
    /// By the policy, so that another one may decide otherwise (see [`Reason::is_of_policy`]).
    Policy,
}

impl CaptureReasons {
    const fn number(self) -> u8 {
        match self {
            Self::Any => ANY_REASON,
            Self::One(reason) => reason as u8,
            Self::Policy => POLICY_REASONS,
        }
    }
}

impl CaptureFilter {
    /// As the programs read it. `None` where it names too many rules.
    #[must_use]
    pub fn settings(&self) -> Option<CaptureSettings> {
        let mut rules = [0; CAPTURE_RULES];
        rules.get_mut(..self.rules.len())?.copy_from_slice(&self.rules);
        let both = [Hook::Ingress, Hook::Egress].map(hook_bit);
        Some(CaptureSettings {
            window: 0,
            left: self.packets,
            interface: self.interface.unwrap_or(ANY_INTERFACE),
            snap_bytes: self.snap_bytes.min(SNAP_BYTES),
            per_second: self.per_second,
            rules,
            rule_count: u8::try_from(self.rules.len()).ok()?,
            reason: self.reasons.number(),
            every: self.every,
            hooks: self.hook.map_or(both[0] | both[1], hook_bit),
            reserved: [0; 5],
        })
    }
}

/// A packet that was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFrame {
    /// What is known of it.
    pub head: CapturedHead,
    /// Its first bytes.
    pub bytes: Vec<u8>,
}

/// Dropped packets.
pub type CaptureStream = RecordStream<CapturedFrame>;

impl Record for CapturedFrame {
    fn read(record: &[u8]) -> Option<Self> {
        let (head, bytes) = record.split_at_checked(size_of::<CapturedHead>())?;
        let head: CapturedHead = try_pod_read_unaligned(head).ok()?;
        let bytes = bytes.get(..usize::from(head.captured))?.to_vec();
        Some(Self { head, bytes })
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::{Zeroable, bytes_of};

    use super::*;

    #[test]
    fn a_record_is_a_head_and_as_many_bytes_as_it_says() {
        let head = CapturedHead {
            captured: 3,
            length: 1500,
            ..CapturedHead::zeroed()
        };
        let record = [bytes_of(&head), b"abc-padding"].concat();
        let frame = CapturedFrame::read(&record).expect("a packet");
        assert_eq!((frame.head, &*frame.bytes), (head, &b"abc"[..]));
        assert_eq!(CapturedFrame::read(&record[..34]), None, "it is cut");
        assert_eq!(CapturedFrame::read(&record[..31]), None);
    }

    #[test]
    fn what_is_not_limited_is_everything() {
        let settings = CaptureFilter::default().settings().expect("no rules");
        assert_eq!(
            (settings.rule_count, settings.reason, settings.hooks),
            (0, ANY_REASON, 3)
        );
        for (reasons, number) in [
            (CaptureReasons::One(Reason::Banned), Reason::Banned as u8),
            (CaptureReasons::Policy, POLICY_REASONS),
        ] {
            let filter = CaptureFilter {
                reasons,
                every: 7,
                ..CaptureFilter::default()
            };
            let settings = filter.settings().expect("no rules");
            assert_eq!((settings.reason, settings.every), (number, 7));
        }
        let filter = CaptureFilter {
            rules: vec![7, 9],
            hook: Some(Hook::Egress),
            snap_bytes: 1 << 20,
            ..CaptureFilter::default()
        };
        let settings = filter.settings().expect("two rules");
        assert_eq!((settings.rules, settings.rule_count), ([7, 9, 0, 0], 2));
        assert_eq!((settings.hooks, settings.snap_bytes), (2, SNAP_BYTES));
        let many = CaptureFilter {
            rules: vec![1; 5],
            ..CaptureFilter::default()
        };
        assert_eq!(many.settings(), None);
    }
}
