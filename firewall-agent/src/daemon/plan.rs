//! What a policy would change, before it is put in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use super::{
    agent::Agent,
    candidate::candidate,
    describe,
    flow_groups::FlowGroups,
    judgement::{By, Connection, Judgement},
    lockout::{Managed, Whose, who},
    prepare::{PrepareError, prepare},
    recent::decided_otherwise,
    report::{kernel_failure, origin},
};
use crate::{
    compile::compile,
    control::protocol::{
        Difference, Failure, FailureKind, FlowGroup, ListDifference, ListenerChange, ManagedVerdict, NewFile,
        Plan, RuleDifference,
    },
    dataplane::Listener,
    policy::{
        difference::{self, RuleChange},
        model::{Action, AddressSet, Direction, ProtocolMatch, Rule, ValidPolicy},
    },
    state::Actor,
};

/// Most live flows that are asked about: a few microseconds each.
const MOST_FLOWS: usize = 100_000;

/// Groups that are shown.
const MOST_GROUPS: usize = 50;

/// Entries of lists that are shown.
const LIST_SAMPLES: usize = 5;

impl Agent {
    /// What the files on disk, with others in the places of some of them, would change.
    pub fn plan(&self, by: &Actor, files: Vec<NewFile>) -> Result<Plan, Failure> {
        let (sources, _) = candidate(self.sources_on_disk(), files, &self.settings)?;
        let prepared = prepare(sources, &self.settings).map_err(PrepareError::failure)?;
        let before = self.in_force();
        let managed = self.managed(by)?;
        let (flows, connections) = self.live_connections()?;
        let recent = self.recent_connections()?;
        let listeners = self.kernel().dataplane.listeners();
        let listeners = listeners.map_err(|error| kernel_failure(&error))?;

        let failed = |error: String| {
            Failure::new(
                FailureKind::Failed,
                format!("it cannot be told what this would change: {error}"),
            )
        };
        let interfaces = self.interface_names()?;
        let image = compile(&before.policy).map_err(|error| failed(error.to_string()))?;
        let all = managed.iter().map(|one| &one.connection);
        let all = all.chain(&connections).chain(&recent);
        let remotes: Vec<IpAddr> = all.map(|connection| connection.remote.ip()).collect();
        let remaining = self.remaining()?;
        let judgement = |policy, image| {
            Judgement::new(policy, image, &interfaces, remotes.iter().copied(), &|term| {
                remaining.has_ended(term)
            })
            .map_err(|error| failed(error.to_string()))
        };
        let mut now = judgement(&before.policy, &image)?;
        let mut then = judgement(&prepared.policy, &prepared.image)?;
        let mut verdicts: Vec<ManagedVerdict> = managed
            .iter()
            .map(|one| verdict(one, &mut now, &mut then))
            .collect();
        let locks_out = verdicts.iter().any(|one| one.passes_now && !one.would_pass);
        verdicts.retain(|one| one.whose == "own" || one.passes_now != one.would_pass);
        let keeps_flows = prepared.policy.settings.keep_live_flows;
        let (cut, flows_cut) = cut(&connections, &mut now, &mut then, keeps_flows);
        Ok(Plan {
            difference: differences(&before.policy, &prepared.policy),
            managed: verdicts,
            locks_out,
            flows,
            flows_asked: connections.len() as u64,
            flows_cut,
            cut,
            recent: decided_otherwise(&recent, &mut now, &mut then),
            listeners: listener_changes(&listeners, &before.policy, &prepared.policy),
            warnings: prepared.warnings,
        })
    }

    /// Live flows, and how many there are.
    fn live_connections(&self) -> Result<(u64, Vec<Connection>), Failure> {
        let kernel = self.kernel();
        let dataplane = &kernel.dataplane;
        let (mut count, mut connections) = (0, Vec::new());
        dataplane
            .visit_flows(&mut |view| {
                count += 1;
                if connections.len() < MOST_FLOWS {
                    connections.push(Connection::from(view));
                }
                true
            })
            .map_err(|error| kernel_failure(&error))?;
        // Sockets know by which interface they go.
        let sockets = dataplane.connections().map_err(|error| kernel_failure(&error))?;
        let interfaces: BTreeMap<(u8, SocketAddr, SocketAddr), Option<String>> = sockets
            .into_iter()
            .map(|socket| ((socket.protocol, socket.remote, socket.local), socket.interface))
            .collect();
        for connection in &mut connections {
            let key = (connection.protocol, connection.remote, connection.local);
            connection.interface = interfaces.get(&key).cloned().flatten();
        }
        Ok((count, connections))
    }
}

fn verdict(one: &Managed, now: &mut Judgement<'_>, then: &mut Judgement<'_>) -> ManagedVerdict {
    let (today, tomorrow) = (now.ask(&one.connection), then.ask(&one.connection));
    ManagedVerdict {
        whose: match one.whose {
            Whose::Own => "own",
            Whose::Management => "management",
            Whose::Failsafe => "failsafe",
        }
        .to_owned(),
        connection: one.connection.describe(),
        passes_now: today.passes,
        now: who(today.by),
        would_pass: tomorrow.passes,
        then: who(tomorrow.by),
    }
}

/// Live flows that the next policy would end, in groups.
fn cut(
    connections: &[Connection],
    now: &mut Judgement<'_>,
    then: &mut Judgement<'_>,
    keeps_flows: bool,
) -> (Vec<FlowGroup>, u64) {
    let mut groups = FlowGroups::default();
    let mut count = 0;
    for connection in connections {
        let tomorrow = then.ask(connection);
        // Rules do not end what lives where the policy keeps it; block lists do.
        let is_kept = keeps_flows && !matches!(tomorrow.by, By::List(_));
        if tomorrow.passes || is_kept {
            continue;
        }
        let today = now.ask(connection);
        if !today.passes {
            continue;
        }
        count += 1;
        groups.add(connection, &today, &tomorrow);
    }
    let mut groups = groups.sorted();
    groups.truncate(MOST_GROUPS);
    (groups, count)
}

/// What two policies say differently.
pub(super) fn differences(before: &ValidPolicy, after: &ValidPolicy) -> Difference {
    let lists = difference::lists(before, after).into_iter();
    let sample = |entries: &[String]| entries.iter().take(LIST_SAMPLES).cloned().collect();
    Difference {
        rules: difference::rules(before, after)
            .into_iter()
            .map(rule_difference)
            .collect(),
        lists: lists
            .map(|change| ListDifference {
                name: change.name.to_string(),
                before: change.before,
                after: change.after,
                added: change.added.len(),
                removed: change.removed.len(),
                added_sample: sample(&change.added),
                removed_sample: sample(&change.removed),
            })
            .collect(),
        settings: difference::settings(before, after),
    }
}

fn rule_difference(change: RuleChange<'_>) -> RuleDifference {
    let (kind, before, after, moved) = match change {
        RuleChange::Added(rule) => ("added", None, Some(rule), false),
        RuleChange::Removed(rule) => ("removed", Some(rule), None, false),
        RuleChange::Changed { before, after, moved } => ("changed", Some(before), Some(after), moved),
        RuleChange::Moved(rule) => ("moved", Some(rule), Some(rule), true),
    };
    let shown = after.or(before);
    RuleDifference {
        kind: kind.to_owned(),
        name: shown.map(|rule| rule.name.to_string()).unwrap_or_default(),
        origin: shown.map(origin).unwrap_or_default(),
        before: before.map(line),
        after: after.map(line),
        moved,
    }
}

/// A rule in a line.
fn line(rule: &Rule) -> String {
    let matches = &rule.matches;
    let mut text = format!(
        "{} {} {} from {} to {}",
        describe::direction(rule.direction),
        describe::action(rule.action),
        describe::protocols(&matches.protocols),
        describe::addresses(matches.source.as_ref()),
        describe::addresses(matches.destination.as_ref())
    );
    if let Some(interfaces) = &matches.interfaces {
        // Writing to a string cannot fail.
        let _ = write!(text, " on {}", interfaces.join(","));
    }
    if let Some(log) = rule.log {
        let _ = write!(text, " log {}/s", log.events_per_second);
    }
    if let Some(term) = rule.term {
        let _ = write!(text, " until {:.0}", term.until);
    }
    text
}

/// Listening sockets that others reach under the next policy.
fn listener_changes(
    listeners: &[Listener],
    before: &ValidPolicy,
    after: &ValidPolicy,
) -> Vec<ListenerChange> {
    let listeners: BTreeSet<&Listener> = listeners.iter().collect();
    let mut changes = Vec::new();
    for listener in listeners {
        let (old, new) = (admitted(before, listener), admitted(after, listener));
        let words = |set: AddressSet| {
            (!set.is_empty()).then(|| {
                if set.is_everything() {
                    "anybody".to_owned()
                } else {
                    describe::addresses(Some(&set))
                }
            })
        };
        let (opens_to, closes_to) = (words(new.difference(&old)), words(old.difference(&new)));
        if opens_to.is_some() || closes_to.is_some() {
            changes.push(ListenerChange {
                socket: socket(listener),
                opens_to,
                closes_to,
            });
        }
    }
    changes
}

fn socket(listener: &Listener) -> String {
    let name = describe::protocol_name(listener.protocol);
    let local = listener.local;
    if local.ip().is_unspecified() {
        format!("{name} *:{}", local.port())
    } else {
        format!("{name} {local}")
    }
}

/// Who gets to a listening socket, by the rules and the failsafe. Rules that look at more than addresses and ports let
/// in at most what they say, and keep nobody out.
fn admitted(policy: &ValidPolicy, listener: &Listener) -> AddressSet {
    let ip = listener.local.ip().to_canonical();
    let port = listener.local.port();
    let family = if ip.is_unspecified() && ip.is_ipv4() {
        AddressSet {
            v6: Vec::new(),
            ..AddressSet::everything()
        }
    } else {
        AddressSet::everything()
    };
    let mut admitted = AddressSet::default();
    if listener.protocol == 6 && policy.failsafe.management_ports.contains(&port) {
        admitted = policy.failsafe.management_sources.clone();
    }
    let mut left = family.clone();
    let rules = policy.rules.iter().filter(|rule| rule.direction == Direction::In);
    for rule in rules {
        let matches = &rule.matches;
        let Some(exact) = reaches(&matches.protocols, listener.protocol, port) else {
            continue;
        };
        let destination = matches.destination.as_ref();
        if destination.is_some_and(|set| !ip.is_unspecified() && !set.contains(ip)) {
            continue;
        }
        let sources = match &matches.source {
            Some(set) => left.intersection(set),
            None => left.clone(),
        };
        let exact = exact && matches.interfaces.is_none() && matches.vlans.is_none();
        if rule.action == Action::Allow {
            admitted = admitted.union(&sources);
        }
        if exact {
            left = left.difference(&sources);
        }
    }
    if policy.settings.defaults.input == Action::Allow {
        admitted = admitted.union(&left);
    }
    admitted.intersection(&family)
}

/// Whether rules for these kinds of packet speak of a port; `Some(false)` where of some source ports only.
fn reaches(protocols: &[ProtocolMatch], number: u8, port: u16) -> Option<bool> {
    protocols
        .iter()
        .filter_map(|kind| match kind {
            ProtocolMatch::Any => Some(true),
            ProtocolMatch::Ports {
                protocol,
                source,
                destination,
            } if *protocol == number && destination.iter().any(|range| range.contains(&port)) => {
                Some(matches!(source.as_slice(), [range] if *range == (0..=u16::MAX)))
            }
            _ => None,
        })
        .max()
}
