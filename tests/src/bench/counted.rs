//! What the programs have decided, told by their counters.

use std::{fmt::Debug, path::Path};

use firewall_common::{
    abi::names,
    counters::{
        Counter, Hook, OUTCOMES, Outcome, REASON_ENTRIES, RuleCounter, interface_index, reason_index,
    },
    reason::Reason,
    verdict::{NO_RULE, Verdict},
};

use super::sheet::Sheet;
use crate::engine::{Interface, Judged};

/// Numbers of rules that are looked at where no test says otherwise.
pub(super) const RULES: u32 = 16;
/// Both directions of all slots that are in use.
const INTERFACES: u32 = 4 * 2 * OUTCOMES;

/// What a program asks the kernel to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `XDP_PASS`, or "next program" at tc.
    Pass,
    /// `XDP_DROP` or `TC_ACT_SHOT`.
    Drop,
    /// `XDP_TX`, or a redirection to the interface's ingress: the frame has become an answer.
    Answer,
}

impl Action {
    pub(super) fn of(hook: Hook, code: u32) -> Self {
        match hook {
            Hook::Ingress => Self::of_xdp(code),
            Hook::Egress => Self::of_tc(code.cast_signed()),
        }
    }

    fn of_xdp(code: u32) -> Self {
        match code {
            1 => Self::Drop,
            2 => Self::Pass,
            3 => Self::Answer,
            other => panic!("XDP action {other}"),
        }
    }

    fn of_tc(code: i32) -> Self {
        match code {
            -1 => Self::Pass,
            2 => Self::Drop,
            7 => Self::Answer,
            other => panic!("tc action {other}"),
        }
    }
}

/// A run of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What the counters say.
    pub judged: Judged,
    /// What the kernel is to do.
    pub action: Action,
    /// The frame afterwards.
    pub frame: Vec<u8>,
}

impl Ran {
    /// Action and frame have to fit the verdict.
    pub(super) fn check(&self, given: &[u8]) {
        let fits = match self.judged.verdict {
            Verdict::Pass => self.action == Action::Pass,
            Verdict::Drop => self.action == Action::Drop,
            Verdict::Reject => matches!(self.action, Action::Drop | Action::Answer),
        };
        assert!(fits, "{:?} by {:?}", self.action, self.judged);
        if self.action != Action::Answer {
            assert_eq!(
                self.frame, given,
                "what is not answered is not touched: {:?}",
                self.judged
            );
        }
    }
}

/// A packet that was counted.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) hook: Hook,
    pub(super) interface: Interface,
    pub(super) bytes: usize,
}

/// All counters that a packet can have raised.
#[derive(Debug)]
pub(super) struct Counters {
    rules: Sheet<RuleCounter>,
    reasons: Sheet<Counter>,
    interfaces: Sheet<Counter>,
}

impl Counters {
    pub(super) fn open(pins: &Path) -> Self {
        Self {
            rules: Sheet::open(pins, names::RULE_COUNTERS, RULES),
            reasons: Sheet::open(pins, names::REASON_COUNTERS, REASON_ENTRIES),
            interfaces: Sheet::open(pins, names::INTERFACE_COUNTERS, INTERFACES),
        }
    }

    /// Looks at so many rules from now on.
    pub(super) fn watch_rules(&mut self, count: u32) {
        self.rules.resize(count);
    }

    /// Forgets what has been counted since the last look.
    pub(super) fn settle(&mut self) {
        let _ = (self.rules.risen(), self.reasons.risen(), self.interfaces.risen());
    }

    /// The decision on the only packet since the last call.
    pub(super) fn judged(&mut self, packet: &Packet) -> Judged {
        let one = Counter {
            packets: 1,
            bytes: packet.bytes as u64,
        };
        let verdict = verdict(packet, &self.interfaces.risen(), one);
        let reason = at_most_one(packet, &self.reasons.risen());
        let rule = at_most_one(packet, &self.rules.risen());
        let evaluated = rule.is_some_and(|(_, risen)| risen.matches == 1);
        if let Some((_, risen)) = rule {
            let expected = RuleCounter {
                packets: one.packets,
                bytes: one.bytes,
                matches: u64::from(evaluated),
                reserved: 0,
            };
            assert_eq!(risen, expected, "{packet:?}");
        }
        let reason = match reason {
            Some((place, risen)) => {
                assert_eq!(risen, one, "{packet:?}");
                reason_at(packet, place)
            }
            None if evaluated => Reason::Rule,
            None => Reason::Flow,
        };
        assert_eq!(
            evaluated,
            matches!(reason, Reason::Rule | Reason::Default),
            "{packet:?}: {reason:?} and {rule:?}"
        );
        Judged {
            verdict,
            reason,
            rule: rule.map_or(NO_RULE, |(number, _)| u16::try_from(number).expect("a number")),
        }
    }
}

fn reason_at(packet: &Packet, place: usize) -> Reason {
    let is_it = |reason: &&Reason| reason_index(packet.hook, **reason as u8) as usize == place;
    let reason = Reason::ALL.iter().find(is_it);
    *reason.unwrap_or_else(|| panic!("{packet:?}: the other hook's or no reason, at {place}"))
}

/// The outcome that was counted, at the packet's interface and hook and nowhere else.
fn verdict(packet: &Packet, risen: &[(usize, Counter)], one: Counter) -> Verdict {
    let outcomes = [
        (Outcome::Passed, Verdict::Pass),
        (Outcome::Dropped, Verdict::Drop),
        (Outcome::Rejected, Verdict::Reject),
    ];
    let found = outcomes.into_iter().find(|(outcome, _)| {
        let place = interface_index(packet.interface.slot(), packet.hook, *outcome);
        risen == [(place as usize, one)]
    });
    found
        .unwrap_or_else(|| panic!("{packet:?}: interface counters {risen:?}"))
        .1
}

fn at_most_one<T: Debug + Copy>(packet: &Packet, risen: &[(usize, T)]) -> Option<(usize, T)> {
    assert!(risen.len() <= 1, "{packet:?}: {risen:?}");
    risen.first().copied()
}
