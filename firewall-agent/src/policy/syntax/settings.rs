//! The settings of a policy file: interfaces, defaults, timers, options, forwarded networks.

use std::sync::Arc;

use super::{
    super::model::{Action, PolicySettings, Timers},
    findings::{Findings, Located, Problem},
    member::{self, Member},
    number, statement,
    statement::VERDICTS,
    table::{self, Keys, Table},
};
use crate::diagnostic::{Code, Diagnostic};

/// What one file sets; absent keys are left to the other layers.
#[derive(Debug, Default)]
pub(crate) struct SettingsEntry {
    /// Globs of interfaces to attach to.
    pub(crate) interfaces: Option<Vec<Located<Arc<str>>>>,
    /// Verdict for incoming packets that no rule matches.
    pub(crate) incoming: Option<Located<Action>>,
    /// Verdict for outgoing packets that no rule matches.
    pub(crate) outgoing: Option<Located<Action>>,
    /// Verdict for forwarded packets that no rule matches.
    pub(crate) forwarded: Option<Located<Action>>,
    /// Idle times in seconds.
    pub(crate) timers: Vec<(&'static Timer, Located<u32>)>,
    /// Switches.
    pub(crate) switches: Vec<(&'static Switch, bool)>,
    /// Further `EtherType`s that pass.
    pub(crate) allowed_ether_types: Option<Vec<u16>>,
    /// Networks behind this host.
    pub(crate) forwarded_networks: Option<Vec<Located<Member>>>,
    /// Globs of interfaces of which all traffic is forwarded.
    pub(crate) forwarded_interfaces: Option<Vec<Located<Arc<str>>>>,
}

const DEFAULTS: Keys = Keys {
    what: "`[defaults]`",
    known: &["incoming", "outgoing", "forwarded"],
    reserved: &[],
    instead: &[
        ("input", "write `incoming`"),
        ("output", "write `outgoing`"),
        ("forward", "write `forwarded`"),
    ],
};

/// A key of `[timers]`.
#[derive(Debug)]
pub(crate) struct Timer {
    /// The key.
    pub(crate) key: &'static str,
    /// What it sets.
    pub(crate) field: fn(&mut Timers) -> &mut u32,
    /// The least number of seconds that a standard allows, and which one.
    pub(crate) floor: Option<(u32, &'static str)>,
}

static TIMERS: [Timer; 7] = [
    Timer {
        key: "tcp_established",
        field: |timers| &mut timers.tcp_established_seconds,
        floor: Some((2 * 3600 + 4 * 60, "RFC 5382 REQ-5")),
    },
    Timer {
        key: "tcp_transitory",
        field: |timers| &mut timers.tcp_transitory_seconds,
        floor: Some((4 * 60, "RFC 5382 REQ-5")),
    },
    Timer {
        key: "tcp_reset",
        field: |timers| &mut timers.tcp_reset_seconds,
        floor: None,
    },
    Timer {
        key: "udp_unreplied",
        field: |timers| &mut timers.udp_unreplied_seconds,
        floor: Some((2 * 60, "RFC 4787 REQ-5")),
    },
    Timer {
        key: "udp_replied",
        field: |timers| &mut timers.udp_replied_seconds,
        floor: Some((2 * 60, "RFC 4787 REQ-5")),
    },
    Timer {
        key: "icmp",
        field: |timers| &mut timers.icmp_seconds,
        floor: Some((60, "RFC 5508 REQ-2")),
    },
    Timer {
        key: "other",
        field: |timers| &mut timers.other_seconds,
        floor: None,
    },
];

const TIMER_KEYS: Keys = Keys {
    what: "`[timers]`",
    known: &[
        "tcp_established",
        "tcp_transitory",
        "tcp_reset",
        "udp_unreplied",
        "udp_replied",
        "icmp",
        "other",
    ],
    reserved: &[],
    instead: &[],
};

/// A key of `[options]` that is on or off.
#[derive(Debug)]
pub(crate) struct Switch {
    /// The key.
    key: &'static str,
    /// What it sets.
    pub(crate) field: fn(&mut PolicySettings) -> &mut bool,
}

static SWITCHES: [Switch; 4] = [
    Switch {
        key: "tcp_midflow_pickup",
        field: |settings| &mut settings.tcp_midflow_pickup,
    },
    Switch {
        key: "keep_live_flows",
        field: |settings| &mut settings.keep_live_flows,
    },
    Switch {
        key: "allow_icmp_redirects",
        field: |settings| &mut settings.allow_icmp_redirects,
    },
    Switch {
        key: "allow_source_routing",
        field: |settings| &mut settings.allow_source_routing,
    },
];

const OPTIONS: Keys = Keys {
    what: "`[options]`",
    known: &[
        "tcp_midflow_pickup",
        "keep_live_flows",
        "allow_icmp_redirects",
        "allow_source_routing",
        "allowed_ether_types",
    ],
    reserved: &[],
    instead: &[],
};

const FORWARDED: Keys = Keys {
    what: "`[forwarded]`",
    known: &["networks", "interfaces"],
    reserved: &[],
    instead: &[],
};

/// The keys of all settings tables.
pub(super) const KEYS: [&Keys; 4] = [&DEFAULTS, &TIMER_KEYS, &OPTIONS, &FORWARDED];

pub(super) fn read(file: &Table<'_>, findings: &mut Findings) -> SettingsEntry {
    // What is there with faults is still there: nothing is missing then.
    let interfaces = file
        .value("interfaces")
        .map(|value| table::strings("interfaces", value, findings));
    let mut settings = SettingsEntry {
        interfaces: interfaces.map(|globs| statement::checked_globs(globs, findings)),
        ..SettingsEntry::default()
    };
    if let Some(table) = file.table("defaults", &DEFAULTS, findings) {
        settings.incoming = verdict(&table, "incoming", findings);
        settings.outgoing = verdict(&table, "outgoing", findings);
        settings.forwarded = verdict(&table, "forwarded", findings);
    }
    if let Some(table) = file.table("timers", &TIMER_KEYS, findings) {
        settings.timers = timers(&table, findings);
    }
    if let Some(table) = file.table("options", &OPTIONS, findings) {
        settings.switches = switches(&table, findings);
        settings.allowed_ether_types = ether_types(&table, findings);
    }
    if let Some(table) = file.table("forwarded", &FORWARDED, findings) {
        settings.forwarded_networks = networks(&table, findings);
        settings.forwarded_interfaces = table
            .strings("interfaces", findings)
            .map(|globs| statement::checked_globs(globs, findings));
    }
    settings
}

fn verdict(table: &Table<'_>, key: &str, findings: &mut Findings) -> Option<Located<Action>> {
    let text = table.string(key, findings)?;
    let known = VERDICTS
        .iter()
        .find(|(word, _)| **word == *text.value)
        .map(|(_, action)| *action);
    let action = known.ok_or_else(|| {
        Problem::new(format!("`{}` is not a verdict", text.value.escape_debug()))
            .hint("write \"allow\", \"drop\" or \"reject\"")
            .suggest(&text.value, VERDICTS.iter().map(|(word, _)| *word))
    });
    let action = findings.check(&text.place, action)?;
    Some(Located::new(action, text.place))
}

fn timers(table: &Table<'_>, findings: &mut Findings) -> Vec<(&'static Timer, Located<u32>)> {
    TIMERS
        .iter()
        .filter_map(|timer| {
            let text = table.string(timer.key, findings)?;
            Some((timer, number::duration(&text, findings)?))
        })
        .collect()
}

fn switches(table: &Table<'_>, findings: &mut Findings) -> Vec<(&'static Switch, bool)> {
    SWITCHES
        .iter()
        .filter_map(|switch| Some((switch, table.boolean(switch.key, findings)?.value)))
        .collect()
}

/// The least `EtherType`; smaller values are lengths (IEEE 802.3 3.2.6).
const FIRST_ETHER_TYPE: i64 = 0x0600;
/// IPv4, IPv6 and the VLAN tags are judged by the rules and cannot pass unfiltered.
const JUDGED_ETHER_TYPES: [i64; 4] = [0x0800, 0x86dd, 0x8100, 0x88a8];

fn ether_types(table: &Table<'_>, findings: &mut Findings) -> Option<Vec<u16>> {
    let items = table.items("allowed_ether_types", findings)?;
    let mut types: Vec<u16> = items
        .into_iter()
        .filter_map(|item| {
            let number = table::integer(item, findings)?;
            findings.check(&number.place, ether_type(number.value))
        })
        .collect();
    types.sort_unstable();
    types.dedup();
    Some(types)
}

fn ether_type(number: i64) -> Result<u16, Problem> {
    if JUDGED_ETHER_TYPES.contains(&number) {
        return Err(Problem::new(format!(
            "EtherType {number:#06x} is judged by the rules and cannot pass unfiltered"
        )));
    }
    u16::try_from(number)
        .ok()
        .filter(|_| number >= FIRST_ETHER_TYPE)
        .ok_or_else(|| Problem::new("an EtherType is a number from 0x0600 to 0xffff"))
}

fn networks(table: &Table<'_>, findings: &mut Findings) -> Option<Vec<Located<Member>>> {
    let texts = table.strings("networks", findings)?;
    let mut members = Vec::new();
    for text in texts {
        let Some(member) = findings.check(&text.place, member::parse(&text.value)) else {
            continue;
        };
        if member.negated || !matches!(member.who, member::Who::Addresses(_) | member::Who::Name(_)) {
            findings.push(
                Diagnostic::new(
                    Code::BadValue,
                    &text.place,
                    "forwarded networks are addresses and names only",
                )
                .hint("an address of this host can never be forwarded"),
            );
            continue;
        }
        members.push(Located::new(member, text.place));
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        assert!(
            TIMERS
                .iter()
                .map(|timer| timer.key)
                .eq(TIMER_KEYS.known.iter().copied())
        );
        let switches = SWITCHES.iter().map(|switch| switch.key);
        assert!(
            switches
                .chain(["allowed_ether_types"])
                .eq(OPTIONS.known.iter().copied())
        );
    }

    #[test]
    fn ether_types_that_rules_judge_cannot_be_let_through() {
        assert_eq!(ether_type(0x88f7), Ok(0x88f7));
        for number in [0x0800, 0x86dd, 0x8100, 0x88a8, 0x05ff, 0x1_0000, -1] {
            assert!(ether_type(number).is_err(), "{number:#x}");
        }
    }
}
