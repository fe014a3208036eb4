//! Whom a policy would lock out: asked of the packet path before the policy is put in force.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use firewall_common::{
    flow::{State, flow_flags},
    wire::protocol,
};

use super::{
    agent::Agent,
    describe,
    in_force::InForce,
    judgement::{Answer, By, Connection, Judgement},
    report::kernel_failure,
};
use crate::{
    compile::{CompiledImage, compile},
    control::protocol::{Failure, FailureKind, Finding},
    policy::{
        list::Entry,
        model::{Action, AddressSet, Direction, Rule, Term, ValidPolicy},
    },
    state::Actor,
};

/// Most ranges of management sources of each family that are asked about.
const MOST_RANGES: usize = 64;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The operator's who asks.
    Own,
    /// Somebody's who manages this host now.
    Management,
    /// Nobody's yet: a management source of the settings.
    Failsafe,
}

/// A connection that must not be cut.
#[derive(Debug, Clone)]
pub(super) struct Managed {
    pub(super) whose: Whose,
    pub(super) connection: Connection,
}

impl Managed {
    pub(super) fn describe(&self) -> String {
        let connection = self.connection.describe();
        match self.whose {
            Whose::Own => format!("your own connection, {connection}"),
            Whose::Management => format!("a management connection, {connection}"),
            Whose::Failsafe => format!("a management source of the settings, {connection}"),
        }
    }
}

impl Agent {
    /// Refuses a policy that would cut whoever manages this host. What the policy in force does not let through either
    /// is not cut by the change.
    pub(super) fn refuse_lock_out(
        &self,
        by: &Actor,
        policy: &ValidPolicy,
        image: &CompiledImage,
        before: &InForce,
    ) -> Result<(), Failure> {
        let managed = self.managed(by)?;
        let remaining = self.remaining()?;
        let mut cuts = self.cuts(&managed, policy, image, before, &|term| remaining.has_ended(term))?;
        let mut would = "this would cut";
        // A rule that ends hides what the others do until then.
        let ends = |policy: &ValidPolicy| policy.rules.iter().any(|rule| rule.term.is_some());
        if cuts.is_empty() && (ends(policy) || ends(&before.policy)) {
            cuts = self.cuts(&managed, policy, image, before, &|_| true)?;
            would = "once the rules that end by themselves have ended, this would cut";
        }
        if cuts.is_empty() {
            return Ok(());
        }
        let mut message = format!("{would} {}", cuts[0].0);
        if cuts.len() > 1 {
            message = format!("{message}; and {} more", cuts.len() - 1);
        }
        let mut failure = Failure::new(FailureKind::LockOut, message).hint(
            "nothing was changed; let the connection in, or put it in force with a way back: `fwctl apply --confirm 60s \
             --force`",
        );
        failure.findings = cuts.into_iter().map(|(_, finding)| finding).collect();
        Err(failure)
    }

    /// The same for entries that are put into a block list, where that could matter.
    pub(super) fn refuse_listed(
        &self,
        by: &Actor,
        policy: &ValidPolicy,
        touched: &[Entry],
        before: &InForce,
    ) -> Result<(), Failure> {
        let managed = self.managed(by)?;
        let is_touched = |one: &Managed| {
            touched
                .iter()
                .any(|entry| covers(entry, one.connection.remote.ip()))
        };
        if !managed.iter().any(is_touched) {
            return Ok(());
        }
        let image = compile(policy).map_err(|error| {
            Failure::new(
                FailureKind::Failed,
                format!("the policy cannot be compiled: {error}"),
            )
        })?;
        self.refuse_lock_out(by, policy, &image, before)
    }

    /// What would be cut, each with a sentence and its place.
    fn cuts(
        &self,
        managed: &[Managed],
        policy: &ValidPolicy,
        image: &CompiledImage,
        before: &InForce,
        has_ended: &dyn Fn(Term) -> bool,
    ) -> Result<Vec<(String, Finding)>, Failure> {
        let interfaces = self.interface_names()?;
        let remotes = || managed.iter().map(|one| one.connection.remote.ip());
        let failed = |error: String| {
            Failure::new(
                FailureKind::Failed,
                format!("it cannot be told whom this would cut: {error}"),
            )
        };
        let mut next = Judgement::new(policy, image, &interfaces, remotes(), has_ended)
            .map_err(|error| failed(error.to_string()))?;
        let mut cut: Vec<(&Managed, Answer<'_>)> = Vec::new();
        for one in managed {
            let answer = next.ask(&one.connection);
            if !answer.passes {
                cut.push((one, answer));
            }
        }
        if cut.is_empty() {
            return Ok(Vec::new());
        }
        let image = compile(&before.policy).map_err(|error| failed(error.to_string()))?;
        let mut now = Judgement::new(&before.policy, &image, &interfaces, remotes(), has_ended)
            .map_err(|error| failed(error.to_string()))?;
        let mut cuts = Vec::new();
        for (one, answer) in cut {
            let today = now.ask(&one.connection);
            if today.passes {
                cuts.push(tell(one, answer, today));
            }
        }
        Ok(cuts)
    }

    /// Interfaces that connections may use: those there are, whether filtered or not.
    pub(super) fn interface_names(&self) -> Result<Vec<String>, Failure> {
        let kernel = self.kernel();
        let mut names: Vec<String> = kernel
            .dataplane
            .interfaces()
            .into_iter()
            .map(|one| one.name)
            .collect();
        let links = kernel.dataplane.links().map_err(|error| kernel_failure(&error))?;
        for link in links.into_iter().filter(|link| !link.loopback) {
            if !names.contains(&link.name) {
                names.push(link.name);
            }
        }
        Ok(names)
    }

    /// Whoever manages this host, or may: the operator who asks first.
    pub(super) fn managed(&self, by: &Actor) -> Result<Vec<Managed>, Failure> {
        let ports = &self.settings.failsafe.management_ports;
        let mut connections: Vec<Connection> = Vec::new();
        let kernel = self.kernel();
        let sockets = kernel
            .dataplane
            .connections()
            .map_err(|error| kernel_failure(&error))?;
        let own = by.from.map(|from| Connection {
            protocol: protocol::TCP,
            remote: from.client,
            local: from.server,
            opened_by_remote: true,
            interface: None,
        });
        connections.extend(sockets.iter().map(Connection::from).filter(|connection| {
            connection.protocol == protocol::TCP
                && connection.opened_by_remote
                && ports.contains(&connection.local.port())
        }));
        kernel
            .dataplane
            .visit_flows(&mut |view| {
                let is_management = view.key.protocol == protocol::TCP
                    && view.flow.state == State::Established
                    && view.flow.flags & flow_flags::OPENED_BY_REMOTE != 0
                    && ports.contains(&view.key.local_port);
                if is_management {
                    let connection = Connection::from(view);
                    if !connections.iter().any(|known| known.is(&connection)) {
                        connections.push(connection);
                    }
                }
                true
            })
            .map_err(|error| kernel_failure(&error))?;
        drop(kernel);
        let mut managed = Vec::new();
        if let Some(own) = own.filter(|own| !own.remote.ip().is_loopback()) {
            // Its socket says by which interface it comes, whatever its port is.
            let known = sockets
                .iter()
                .map(Connection::from)
                .find(|socket| socket.is(&own));
            connections.retain(|connection| !connection.is(&own));
            managed.push(Managed {
                whose: Whose::Own,
                connection: Connection {
                    interface: known.and_then(|socket| socket.interface),
                    ..own
                },
            });
        }
        managed.extend(connections.into_iter().map(|connection| Managed {
            whose: Whose::Management,
            connection,
        }));
        managed.extend(self.failsafe_sources());
        Ok(managed)
    }

    /// The first and the last address of each range that may manage this host, where there is a way to it.
    fn failsafe_sources(&self) -> Vec<Managed> {
        let failsafe = self.settings.failsafe.resolve();
        let ports = failsafe.management_ports;
        let sources = samples(&failsafe.management_sources).into_iter();
        sources
            .filter_map(|source| Some((source, local_towards(source)?)))
            .flat_map(|(source, local)| {
                ports.clone().into_iter().map(move |port| Managed {
                    whose: Whose::Failsafe,
                    connection: Connection {
                        protocol: protocol::TCP,
                        remote: SocketAddr::new(source, 50_000),
                        local: SocketAddr::new(local, port),
                        opened_by_remote: true,
                        interface: None,
                    },
                })
            })
            .collect()
    }
}

fn samples(sources: &AddressSet) -> Vec<IpAddr> {
    let v4 = sources.v4.iter().take(MOST_RANGES);
    let v6 = sources.v6.iter().take(MOST_RANGES);
    let v4 = v4.flat_map(|range| [*range.start(), *range.end()].map(|one| IpAddr::V4(one.into())));
    let v6 = v6.flat_map(|range| [*range.start(), *range.end()].map(|one| IpAddr::V6(one.into())));
    let mut addresses: Vec<IpAddr> = v4.chain(v6).collect();
    addresses.dedup();
    addresses
}

/// The address that this host speaks to another by. No packet is sent.
fn local_towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((remote, 9)).ok()?;
    let local = socket.local_addr().ok()?.ip();
    // An address of this host itself cannot come in from outside.
    (local != remote && !local.is_loopback()).then_some(local)
}

fn covers(entry: &Entry, address: IpAddr) -> bool {
    match (entry, address.to_canonical()) {
        (Entry::V4(first, last), IpAddr::V4(address)) => (*first..=*last).contains(&address.to_bits()),
        (Entry::V6(prefixes), IpAddr::V6(address)) => prefixes
            .iter()
            .any(|prefix| (prefix.first()..=prefix.last()).contains(&address.to_bits())),
        _ => false,
    }
}

fn tell(one: &Managed, answer: Answer<'_>, now: Answer<'_>) -> (String, Finding) {
    let why = match answer.by {
        By::Rule(rule) => {
            let does = if rule.action == Action::Allow {
                "does not let the answer pass"
            } else {
                "keeps it out"
            };
            format!("rule `{}` at {} {does}", rule.name, place(rule))
        }
        By::Default(direction) => {
            let what = match direction {
                Direction::In => "no rule lets it in",
                Direction::Out => "no rule lets it out",
                Direction::Forward => "no rule lets it through",
            };
            match now.by {
                By::Rule(rule) => format!("{what}; now rule `{}` at {} does", rule.name, place(rule)),
                By::Default(_) => format!("{what}, and the default lets it pass no longer"),
                _ => what.to_owned(),
            }
        }
        By::List(name) => format!("block list `{name}` has its address"),
        By::Reason(reason) => reason.name().to_owned(),
        By::Unfiltered => "it is not filtered".to_owned(),
    };
    let (file, line) = match (answer.by, now.by) {
        (By::Rule(rule), _) | (_, By::Rule(rule)) => (rule.origin.file.to_string(), rule.origin.line),
        _ => (String::new(), 0),
    };
    let sentence = format!("{}: {why}", one.describe());
    let finding = Finding {
        text: format!("error[lock-out]: {sentence}"),
        file,
        line,
        column: 1,
        code: "lock-out".to_owned(),
        severity: "error".to_owned(),
        message: sentence.clone(),
        hint: None,
        related: Vec::new(),
    };
    (sentence, finding)
}

fn place(rule: &Rule) -> String {
    super::report::origin(rule)
}

/// Who has decided, in a few words.
pub(super) fn who(by: By<'_>) -> String {
    match by {
        By::Rule(rule) => format!("rule {} ({})", rule.name, place(rule)),
        By::Default(direction) => format!("default {}", describe::direction(direction)),
        By::List(name) => format!("block list {name}"),
        By::Reason(reason) => reason.name().to_owned(),
        By::Unfiltered => "not filtered".to_owned(),
    }
}
