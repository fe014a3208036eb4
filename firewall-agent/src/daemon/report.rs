//! What the agent says of itself: status, rules, counters.

use std::collections::BTreeMap;

use firewall_common::{
    abi::names,
    cell::{Cell, Mode},
    counters::{Counter, DEFAULT_COUNTERS, Hook, Outcome, RuleCounter},
    reason::Reason,
};

use super::{
    agent::Agent,
    chain::chain,
    change::no_such_rule_among,
    describe, disabled,
    in_force::{DIRECTIONS, InForce, default_name, default_number},
    prepare::{files, today},
    timed::Remaining,
};
use crate::{
    control::protocol::{
        Counters, Failure, FailureKind, FileState, InterfaceCounts, InterfaceStatus, Packets,
        PolicyFileStatus, ReasonCounts, RevisionStatus, RuleCounts, RuleDetail, RuleSummary, Rules, Status,
        TableUse,
    },
    dataplane::{AttachedInterface, CounterSnapshot, DataplaneError, MapUsage},
    policy::model::{Direction, Rule},
};

const HOOKS: [(Hook, &str); 2] = [(Hook::Ingress, "ingress"), (Hook::Egress, "egress")];

/// The kernel could not be asked.
pub(super) fn kernel_failure(error: &DataplaneError) -> Failure {
    Failure::new(
        FailureKind::Failed,
        format!("the kernel could not be asked: {}", chain(error)),
    )
}

impl Agent {
    /// How things are.
    pub fn status(&self) -> Result<Status, Failure> {
        self.follow_deadline();
        self.look_for_pending();
        let in_force = self.in_force();
        let health = self.health();
        let notes = health.notes.into_iter();
        let notes = notes.chain(self.note_of_nothing_filtered(&in_force)).collect();
        let bans = self.ban_count()?;
        let timed_rules = self.timed_rules()?;
        let kernel = self.kernel();
        let dataplane = &kernel.dataplane;
        let cell = dataplane.cell().map_err(|error| kernel_failure(&error))?;
        let usage = dataplane.map_usage().map_err(|error| kernel_failure(&error))?;
        let now = dataplane
            .clock()
            .map_err(|error| kernel_failure(&error))?
            .now_ticks;
        let (_, mode) = Cell::effective(cell.pack(), now);
        Ok(Status {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            role: Some(in_force.policy.role.to_string()).filter(|role| !role.is_empty()),
            host: in_force.policy.host.as_ref().map(ToString::to_string),
            enforcing: in_force.enforcing,
            mode: mode_name(mode).to_owned(),
            revision: in_force.revision.as_ref().map(|revision| RevisionStatus {
                number: revision.number,
                created: revision.created,
                by: revision.by.clone(),
                cause: revision.cause,
                why: revision.why.clone(),
            }),
            panic: self.panic_note().filter(|_| mode == Mode::Panic),
            mode_seconds_left: kernel
                .mode()
                .ok()
                .and_then(|(_, left)| left)
                .map(|left| left.as_secs()),
            history: self.history_head(),
            confirm: self
                .unconfirmed()
                .map(|waiting| waiting.status(kernel.time_left().ok().flatten().unwrap_or_default())),
            policy_hash: in_force.hash_text(),
            generation: in_force.epoch,
            rules: in_force.policy.rules.len(),
            timed_rules,
            bans,
            watches: self.watches.statuses(),
            pending: health.pending,
            settings: self.settings_status(),
            files: self.file_states(&in_force),
            interfaces: dataplane.interfaces().iter().map(interface_status).collect(),
            interface_failures: kernel.failures.clone(),
            last_reload: health.last_reload,
            tables: tables(&in_force, usage),
            notes,
        })
    }

    /// Every rule in force.
    pub fn rules(&self) -> Result<Rules, Failure> {
        let (in_force, counters) = self.counted()?;
        let remaining = self.remaining()?;
        let defaults = &in_force.policy.settings.defaults;
        Ok(Rules {
            rules: in_force
                .rules()
                .map(|(rule, number)| summary(rule, counters.rule(number), &remaining))
                .collect(),
            defaults: [defaults.input, defaults.output, defaults.forward]
                .map(|action| describe::action(action).to_owned()),
            disabled: disabled::rules(&in_force, &remaining),
        })
    }

    /// One rule in force: both halves where it holds both ways.
    pub fn rule(&self, name: &str) -> Result<RuleDetail, Failure> {
        let (in_force, counters) = self.counted()?;
        let remaining = self.remaining()?;
        let halves: Vec<(&Rule, u16)> = in_force
            .rules()
            .filter(|(rule, _)| {
                &*rule.name == name || rule.name.rsplit_once('/').is_some_and(|(whole, _)| whole == name)
            })
            .collect();
        let Some((first, _)) = halves.first() else {
            let known = in_force.rules().map(|(rule, _)| &*rule.name);
            return disabled::rule(&in_force, &remaining, name)
                .ok_or_else(|| no_such_rule_among(name, known));
        };
        Ok(RuleDetail {
            until: first.term.map(|term| term.until),
            seconds_left: first.term.map(|term| remaining.left(term).as_secs()),
            disabled: false,
            text: text_of(&in_force, first),
            interfaces: first.matches.interfaces.clone(),
            log_per_second: first.log.map(|log| log.events_per_second),
            owner: first.owner.as_ref().map(ToString::to_string),
            reason: first.reason.as_ref().map(ToString::to_string),
            review: first.review.as_ref().map(ToString::to_string),
            review_overdue: first.is_overdue(today()),
            rules: halves
                .iter()
                .map(|(rule, number)| summary(rule, counters.rule(*number), &remaining))
                .collect(),
        })
    }

    /// What was counted.
    pub fn counters(&self) -> Result<Counters, Failure> {
        let (in_force, counters) = self.counted()?;
        let interfaces = self.kernel().dataplane.interfaces();
        Ok(Counters {
            rules: rule_counts(&in_force, &counters),
            reasons: reason_counts(&counters)
                .filter(|reason| reason.total.packets > 0)
                .collect(),
            interfaces: interface_counts(&interfaces, &counters),
        })
    }

    /// The policy in force, and its counters.
    pub(crate) fn counted(&self) -> Result<(std::sync::Arc<InForce>, CounterSnapshot), Failure> {
        let in_force = self.in_force();
        let highest = in_force.numbers.iter().max().copied().unwrap_or(0);
        let rules = highest.max(DEFAULT_COUNTERS - 1) + 1;
        let counters = self.kernel().dataplane.counters(rules);
        Ok((in_force, counters.map_err(|error| kernel_failure(&error))?))
    }

    fn file_states(&self, in_force: &InForce) -> Vec<PolicyFileStatus> {
        let sources = self.sources_on_disk();
        let unreadable = sources.iter().filter(|(_, source)| source.fault().is_some());
        let unreadable: Vec<_> = unreadable.map(|(_, source)| source.name().to_string()).collect();
        let mut states = BTreeMap::new();
        for file in &in_force.files {
            states.insert(file.path.clone(), FileState::Removed);
        }
        for file in files(&sources) {
            let before = in_force.files.iter().find(|before| before.path == file.path);
            let state = match before {
                _ if unreadable
                    .iter()
                    .any(|name| **name == *file.path.to_string_lossy()) =>
                {
                    FileState::Unreadable
                }
                None => FileState::New,
                Some(before) if before.is(&file) => FileState::InForce,
                Some(_) => FileState::Changed,
            };
            states.insert(file.path, state);
        }
        states
            .into_iter()
            .map(|(path, state)| PolicyFileStatus { path, state })
            .collect()
    }
}

/// The kernel's tables, and the numbers of the rules' counters.
pub(super) fn tables(in_force: &InForce, usage: Vec<MapUsage>) -> Vec<TableUse> {
    let counters = TableUse {
        table: names::RULE_COUNTERS.to_owned(),
        used: in_force.counter_use.used as u64,
        capacity: in_force.counter_use.capacity as u64,
    };
    let maps = usage.into_iter().map(|usage| TableUse {
        table: usage.map,
        used: usage.entries,
        capacity: usage.capacity,
    });
    maps.chain(std::iter::once(counters)).collect()
}

pub(crate) const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Normal => "normal",
        Mode::Panic => "panic",
        Mode::Pause => "pause",
    }
}

fn interface_status(attached: &AttachedInterface) -> InterfaceStatus {
    InterfaceStatus {
        name: attached.name.clone(),
        index: attached.index,
        mode: attached.mode.to_string(),
        reason: attached.reason.to_string(),
        cost: attached.cost().map(str::to_owned),
        vlan_offload_disabled: attached.vlan_offload_disabled,
    }
}

fn summary(rule: &Rule, counter: RuleCounter, remaining: &Remaining) -> RuleSummary {
    RuleSummary {
        name: rule.name.to_string(),
        direction: describe::direction(rule.direction).to_owned(),
        action: describe::action(rule.action).to_owned(),
        what: describe::protocols(&rule.matches.protocols),
        from: describe::addresses(rule.matches.source.as_ref()),
        to: describe::addresses(rule.matches.destination.as_ref()),
        origin: origin(rule),
        until: rule.term.map(|term| term.until),
        seconds_left: rule.term.map(|term| remaining.left(term).as_secs()),
        total: of_rule(counter),
    }
}

/// `file:line`, the file without its directory.
pub(crate) fn origin(rule: &Rule) -> String {
    let file = &rule.origin.file;
    let name = file.rsplit_once('/').map_or(&**file, |(_, name)| name);
    format!("{name}:{}", rule.origin.line)
}

fn text_of(in_force: &InForce, rule: &Rule) -> String {
    let file = in_force
        .files
        .iter()
        .find(|file| file.path.to_string_lossy() == *rule.origin.file);
    let text = file.and_then(|file| file.policy_text()?.get(rule.origin.span.clone()));
    text.unwrap_or_default().trim_end().to_owned()
}

const fn of_rule(counter: RuleCounter) -> Packets {
    Packets {
        packets: counter.packets,
        bytes: counter.bytes,
    }
}

const fn packets(counter: Counter) -> Packets {
    Packets {
        packets: counter.packets,
        bytes: counter.bytes,
    }
}

pub(super) fn rule_counts(in_force: &InForce, counters: &CounterSnapshot) -> Vec<RuleCounts> {
    let rules = in_force.rules().map(|(rule, number)| {
        let counter = counters.rule(number);
        RuleCounts {
            rule: rule.name.to_string(),
            direction: describe::direction(rule.direction).to_owned(),
            action: describe::action(rule.action).to_owned(),
            origin: origin(rule),
            total: of_rule(counter),
            matches: counter.matches,
        }
    });
    let defaults = &in_force.policy.settings.defaults;
    let defaults = DIRECTIONS.map(|direction| {
        let counter = counters.rule(default_number(direction));
        let action = match direction {
            Direction::In => defaults.input,
            Direction::Out => defaults.output,
            Direction::Forward => defaults.forward,
        };
        RuleCounts {
            rule: default_name(direction).to_owned(),
            direction: describe::direction(direction).to_owned(),
            action: describe::action(action).to_owned(),
            origin: String::new(),
            total: of_rule(counter),
            matches: counter.matches,
        }
    });
    rules.chain(defaults).collect()
}

/// Every reason at each hook, those that have decided nothing among them.
pub(super) fn reason_counts(counters: &CounterSnapshot) -> impl Iterator<Item = ReasonCounts> {
    HOOKS.into_iter().flat_map(move |(hook, hook_name)| {
        Reason::ALL.iter().map(move |&reason| ReasonCounts {
            reason: reason.name().to_owned(),
            hook: hook_name.to_owned(),
            drops: !reason.passes(),
            total: packets(counters.reason(hook, reason)),
            meaning: reason.describe().trim().to_owned(),
        })
    })
}

pub(super) fn interface_counts(
    interfaces: &[AttachedInterface],
    counters: &CounterSnapshot,
) -> Vec<InterfaceCounts> {
    let mut counts = Vec::new();
    let others = std::iter::once((0, "(others)"));
    let named = interfaces.iter().map(|attached| (attached.slot, &*attached.name));
    for (slot, name) in named.chain(others) {
        for (hook, hook_name) in HOOKS {
            let of = |outcome| packets(counters.interface(slot, hook, outcome));
            let row = InterfaceCounts {
                interface: name.to_owned(),
                hook: hook_name.to_owned(),
                passed: of(Outcome::Passed),
                dropped: of(Outcome::Dropped),
                rejected: of(Outcome::Rejected),
            };
            let seen = row.passed.packets + row.dropped.packets + row.rejected.packets;
            if slot != 0 || seen > 0 {
                counts.push(row);
            }
        }
    }
    counts
}
