//! Everything that is measured, as metric families.

use firewall_common::cell::Mode;

use super::family::{Family, Labels, Unit};
use crate::{
    control::protocol::{
        Counters, Enforcing, Failure, InterfaceCounts, Packets, RuleCounts, SettingsState, SettingsStatus,
    },
    daemon::{Agent, Health, InForce, Readings, mode_name, states, today},
    dataplane::XdpMode,
};

/// Reads everything.
pub(super) fn collect(agent: &Agent) -> Result<Vec<Family>, Failure> {
    let in_force = agent.in_force();
    let health = agent.health();
    let readings = agent.readings()?;
    let mut families = vec![about()];
    families.extend(rules(&readings.counters));
    families.extend(reasons(&readings.counters));
    families.extend(interfaces(&readings));
    families.extend(agent.settings_status().as_ref().map(settings));
    families.extend(policy(&in_force, &readings));
    families.extend(reloads(&health));
    families.extend(confirmation(&health, &readings));
    families.extend(history(agent));
    families.extend(tables(&readings));
    families.push(flows(&readings));
    families.push(Family::gauge("firewall_bans", "Bans that hold.").of(readings.bans as u64));
    families.push(
        Family::counter(
            "firewall_events",
            "Log events of packets that the agent has read from the kernel.",
        )
        .of(health.events),
    );
    families.push(
        Family::counter(
            "firewall_events_lost",
            "Log events of packets that found no room on their way to the agent.",
        )
        .of(readings.lost_events),
    );
    Ok(families)
}

fn about() -> Family {
    let mut family = Family::info("firewall_agent", "The agent.");
    family.add(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1);
    family
}

fn settings(status: &SettingsStatus) -> Family {
    let mut family = Family::gauge(
        "firewall_settings",
        "The settings on disk against those that the agent runs with: 1 for how they stand.",
    );
    for state in SettingsState::ALL {
        family.add(
            vec![("state", state.name().to_owned())],
            u64::from(state == status.state),
        );
    }
    family
}

/// The place of a rule is no label of its counters: an edit above it moves it, and would end the series.
fn rules(counters: &Counters) -> [Family; 4] {
    let labels = |rule: &RuleCounts| -> Labels {
        vec![
            ("rule", rule.rule.clone()),
            ("direction", rule.direction.clone()),
            ("action", rule.action.clone()),
        ]
    };
    let mut places = Family::info("firewall_rule", "Where a rule is written.");
    let mut packets = Family::counter(
        "firewall_rule_packets",
        "Packets that a rule decided, those of flows that it let in among them.",
    );
    let mut bytes = Family::counter(
        "firewall_rule",
        "Bytes that a rule decided, those of flows that it let in among them.",
    )
    .unit(Unit::Bytes);
    let mut matches = Family::counter(
        "firewall_rule_matches",
        "Packets that a rule was tried on and matched: new flows, drops, rejects.",
    );
    for rule in &counters.rules {
        packets.add(labels(rule), rule.total.packets);
        bytes.add(labels(rule), rule.total.bytes);
        matches.add(labels(rule), rule.matches);
        if !rule.origin.is_empty() {
            places.add(
                vec![("rule", rule.rule.clone()), ("origin", rule.origin.clone())],
                1,
            );
        }
    }
    [places, packets, bytes, matches]
}

fn reasons(counters: &Counters) -> [Family; 4] {
    let mut drops = Family::counter(
        "firewall_drop_packets",
        "Packets dropped for a reason other than a rule.",
    );
    let mut drop_bytes =
        Family::counter("firewall_drop", "Bytes dropped for a reason other than a rule.").unit(Unit::Bytes);
    let mut passes = Family::counter(
        "firewall_pass_packets",
        "Packets passed for a reason other than a rule.",
    );
    let mut pass_bytes =
        Family::counter("firewall_pass", "Bytes passed for a reason other than a rule.").unit(Unit::Bytes);
    for reason in &counters.reasons {
        let labels = || vec![("reason", reason.reason.clone()), ("hook", reason.hook.clone())];
        let (packets, bytes) = if reason.drops {
            (&mut drops, &mut drop_bytes)
        } else {
            (&mut passes, &mut pass_bytes)
        };
        packets.add(labels(), reason.total.packets);
        bytes.add(labels(), reason.total.bytes);
    }
    [drops, drop_bytes, passes, pass_bytes]
}

fn interfaces(readings: &Readings) -> [Family; 4] {
    let mut packets = Family::counter(
        "firewall_interface_packets",
        "Packets of an interface by what became of them.",
    );
    let mut bytes = Family::counter(
        "firewall_interface",
        "Bytes of an interface by what became of them.",
    )
    .unit(Unit::Bytes);
    for row in &readings.counters.interfaces {
        for (outcome, total) in outcomes(row) {
            let labels = || {
                vec![
                    ("interface", row.interface.clone()),
                    ("hook", row.hook.clone()),
                    ("outcome", outcome.to_owned()),
                ]
            };
            packets.add(labels(), total.packets);
            bytes.add(labels(), total.bytes);
        }
    }
    let mut attached = Family::gauge(
        "firewall_interface_attached",
        "Interfaces that are filtered, with how XDP is attached: 1 for the mode in use.",
    );
    for interface in &readings.interfaces {
        for mode in [XdpMode::Native, XdpMode::Generic] {
            let labels = vec![("interface", interface.name.clone()), ("mode", mode.to_string())];
            attached.add(labels, u64::from(mode == interface.mode));
        }
    }
    let failures = Family::gauge(
        "firewall_interface_failures",
        "Interfaces that should be filtered, and are not.",
    )
    .of(readings.interface_failures as u64);
    [packets, bytes, attached, failures]
}

const fn outcomes(row: &InterfaceCounts) -> [(&'static str, Packets); 3] {
    [
        ("passed", row.passed),
        ("dropped", row.dropped),
        ("rejected", row.rejected),
    ]
}

fn policy(in_force: &InForce, readings: &Readings) -> [Family; 7] {
    let mut info = Family::info("firewall_policy", "The policy in force.");
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    info.add(
        vec![
            ("hash", in_force.hash_text()),
            ("role", in_force.policy.role.to_string()),
            ("host", text(in_force.policy.host.as_deref())),
        ],
        1,
    );
    let mut enforcing = Family::gauge("firewall_enforcing", "What is in force: 1 for the one that is.");
    for state in Enforcing::ALL {
        enforcing.add(
            vec![("what", state.name().to_owned())],
            u64::from(state == in_force.enforcing),
        );
    }
    let mut mode = Family::gauge(
        "firewall_mode",
        "How packets are judged: 1 for the mode in force.",
    );
    for each in [Mode::Normal, Mode::Panic, Mode::Pause] {
        mode.add(
            vec![("mode", mode_name(each).to_owned())],
            u64::from(each == readings.mode),
        );
    }
    let revision = in_force.revision.as_ref().map_or(0, |revision| revision.number);
    let today = today();
    let overdue = in_force
        .policy
        .rules
        .iter()
        .filter(|rule| rule.is_overdue(today))
        .count() as u64;
    [
        info,
        enforcing,
        mode,
        Family::gauge("firewall_generation", "Number of the judgement in the kernel.")
            .of(u64::from(in_force.epoch)),
        Family::gauge(
            "firewall_revision",
            "Number of the revision in force; 0 if there is none.",
        )
        .of(revision),
        Family::gauge("firewall_rules", "Rules in force.").of(in_force.policy.rules.len() as u64),
        Family::gauge(
            "firewall_rules_overdue",
            "Rules in force whose review date has passed.",
        )
        .of(overdue),
    ]
}

fn reloads(health: &Health) -> [Family; 4] {
    let mut attempts = Family::counter(
        "firewall_reloads",
        "Attempts to put a policy in force since the agent was started.",
    );
    for (result, count) in [
        ("success", health.reloads_succeeded),
        ("failure", health.reloads_failed),
    ] {
        attempts.add(vec![("result", result.to_owned())], count);
    }
    let last = health.last_reload.as_ref();
    let success = last.is_none_or(|last| last.failure.is_none());
    let mut time = Family::gauge(
        "firewall_last_reload_timestamp",
        "When a policy was last tried to be put in force, in Unix time.",
    )
    .unit(Unit::Seconds);
    if let Some(last) = last {
        time = time.of_real(last.at.as_duration().as_secs_f64());
    }
    [
        attempts,
        Family::gauge(
            "firewall_last_reload_success",
            "Whether the last attempt to put a policy in force succeeded; 1 before the first.",
        )
        .of(u64::from(success)),
        time,
        Family::gauge(
            "firewall_policy_pending",
            "Whether the policy files differ from what is in force.",
        )
        .of(u64::from(health.pending)),
    ]
}

fn confirmation(health: &Health, readings: &Readings) -> [Family; 3] {
    let left = readings.confirm_left;
    [
        Family::gauge(
            "firewall_confirm_pending",
            "Whether the change in force waits for its confirmation.",
        )
        .of(u64::from(left.is_some())),
        Family::gauge(
            "firewall_confirm_left",
            "Time until the kernel side goes back by itself; 0 where nothing waits.",
        )
        .unit(Unit::Seconds)
        .of_real(left.unwrap_or_default().as_secs_f64()),
        Family::counter(
            "firewall_confirms_expired",
            "Changes that nobody has confirmed in time since the agent was started.",
        )
        .of(health.confirms_expired),
    ]
}

/// The head stands where whoever changes the history cannot change it.
fn history(agent: &Agent) -> [Family; 2] {
    let head = agent.history_head();
    let mut info = Family::info("firewall_history", "The last entry of the history of changes.");
    info.add(vec![("head", head.hash)], 1);
    let entries = Family::gauge(
        "firewall_history_entries",
        "Number of the last entry of the history of changes.",
    );
    [info, entries.of(head.number)]
}

fn tables(readings: &Readings) -> [Family; 2] {
    let mut used = Family::gauge("firewall_table_entries", "Entries in use of a kernel table.");
    let mut capacity = Family::gauge(
        "firewall_table_capacity",
        "Entries that a kernel table has room for.",
    );
    for table in &readings.tables {
        used.add(vec![("table", table.table.clone())], table.used);
        capacity.add(vec![("table", table.table.clone())], table.capacity);
    }
    [used, capacity]
}

fn flows(readings: &Readings) -> Family {
    let mut family = Family::gauge("firewall_flows", "Live flows by state.");
    for state in states() {
        let count = readings.flows[state as usize];
        family.add(vec![("state", state.name().to_owned())], count);
    }
    family
}
