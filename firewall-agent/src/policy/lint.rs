//! What is suspicious about the rules of one host, each rule looked at by itself.

use toml::value::Date;

use super::{
    check::Options,
    link::LinkedRule,
    model::{Action, Direction, Failsafe, Forwarded, ProtocolMatch, Rule, ValidPolicy},
    ranges,
    resolve::Resolved,
    syntax::{Located, Member, Parties},
    view::View,
};
use crate::diagnostic::{Code, Diagnostic};
use firewall_common::wire::{icmp, icmpv6};

/// Where nobody says which ports management uses: SSH.
const DEFAULT_MANAGEMENT_PORT: u16 = 22;

/// Looks at every rule by itself and at what is missing.
pub(super) fn lint(resolved: &Resolved<'_>, view: &View<'_>, options: &Options, found: &mut Vec<Diagnostic>) {
    for (rule, written) in resolved.policy.rules.iter().zip(&resolved.written) {
        found.extend(source_port_alone(rule, written));
        found.extend(all_icmp(rule, written));
        found.extend(icmp_errors_only(rule, written));
        found.extend(ipv4_only(rule, written, view));
        found.extend(options.today.and_then(|today| overdue(rule, written, today)));
    }
    found.extend(management(resolved, options.failsafe.as_ref()));
    found.extend(undeclared_forwarding(resolved).filter(|_| options.kernel_forwards));
}

fn source_port_alone(rule: &Rule, written: &LinkedRule) -> Option<Diagnostic> {
    let ports = written.statement.as_ref()?.written.from_port.as_ref()?;
    let alone = rule.matches.protocols.iter().any(|protocol| {
        matches!(protocol, ProtocolMatch::Ports { source, destination, .. }
            if ranges::is_full(destination) && !ranges::is_full(source))
    });
    (alone && rule.action == Action::Allow && rule.direction != Direction::Out).then(|| {
        Diagnostic::new(
            Code::SourcePortAlone,
            &ports.place,
            format!(
                "`{}` lets in whoever sends from this port",
                written.entry.name.value
            ),
        )
        .label("the sender chooses its source port")
        .hint("replies come back without a rule; name the destination port that is meant to be open")
    })
}

fn all_icmp(rule: &Rule, written: &LinkedRule) -> Option<Diagnostic> {
    let statement = written.statement.as_ref()?;
    let all = rule.matches.protocols.iter().any(|protocol| match protocol {
        ProtocolMatch::Icmp4(messages) | ProtocolMatch::Icmp6(messages) => ranges::is_full(messages),
        _ => false,
    });
    (all && rule.action == Action::Allow && rule.direction != Direction::Out).then(|| {
        Diagnostic::new(
            Code::AllIcmp,
            &statement.written.action.place,
            format!("`{}` lets in every ICMP message", written.entry.name.value),
        )
        .hint("errors for live connections and neighbour discovery pass by themselves; say `ping` for echo requests")
    })
}

/// Errors never reach the rules: one passes that quotes a packet of a live flow, and no other.
fn icmp_errors_only(rule: &Rule, written: &LinkedRule) -> Option<Diagnostic> {
    let statement = written.statement.as_ref()?;
    let messages = |kinds: &[u8]| {
        ranges::normalised(
            kinds
                .iter()
                .map(|kind| u16::from_be_bytes([*kind, 0])..=u16::from_be_bytes([*kind, 0xff]))
                .collect(),
        )
    };
    let v4 = messages(&[
        icmp::UNREACHABLE,
        icmp::SOURCE_QUENCH,
        icmp::TIME_EXCEEDED,
        icmp::PARAMETER_PROBLEM,
    ]);
    let v6 = vec![0..=u16::from_be_bytes([icmpv6::FIRST_INFORMATION - 1, 0xff])];
    let only_errors = rule.matches.protocols.iter().all(|protocol| match protocol {
        ProtocolMatch::Icmp4(messages) => ranges::is_subset(messages, &v4),
        ProtocolMatch::Icmp6(messages) => ranges::is_subset(messages, &v6),
        _ => false,
    });
    only_errors.then(|| {
        Diagnostic::new(
            Code::IcmpErrorsOnly,
            &statement.written.action.place,
            format!(
                "`{}` never decides: it speaks of ICMP errors only",
                written.entry.name.value
            ),
        )
        .hint("an error passes where it quotes a packet of a live flow, and no other does; delete the rule")
    })
}

/// Names may stand for hosts that only have IPv4; addresses that are written out were chosen by the operator.
fn ipv4_only(rule: &Rule, written: &LinkedRule, view: &View<'_>) -> Option<Diagnostic> {
    let own = &view.host?.own;
    let parties = &written.statement.as_ref()?.written.parties;
    if own.v6.is_empty() || matches!(parties, Parties::Among(_)) || speaks_icmp4_only(rule) {
        return None;
    }
    let members = parties.members().find(|members| {
        let everyone = view.everyone(members);
        let literal = |item: &Located<Member>| item.value.who.is_literal() && !item.value.negated;
        everyone.v6.is_empty() && !everyone.v4.is_empty() && members.items.iter().any(literal)
    })?;
    Some(
        Diagnostic::new(
            Code::Ipv4Only,
            &members.items[0].place,
            format!(
                "`{}` names IPv4 addresses only, and the host has IPv6 too",
                written.entry.name.value
            ),
        )
        .hint("add the IPv6 addresses, or define a name for both in the inventory"),
    )
}

fn speaks_icmp4_only(rule: &Rule) -> bool {
    rule.matches
        .protocols
        .iter()
        .all(|protocol| matches!(protocol, ProtocolMatch::Icmp4(_)))
}

fn overdue(rule: &Rule, written: &LinkedRule, today: Date) -> Option<Diagnostic> {
    let review = written.entry.review.as_ref()?;
    rule.is_overdue(today).then(|| {
        let owner = written.entry.owner.as_deref().unwrap_or("somebody");
        Diagnostic::new(
            Code::ReviewOverdue,
            &review.place,
            format!(
                "`{}` was to be reviewed by {}",
                written.entry.name.value, review.value
            ),
        )
        .hint(format!(
            "{owner} should look whether the rule is still needed, and move the date"
        ))
    })
}

/// What is forwarded without being declared is judged as if it were for this host.
fn undeclared_forwarding(resolved: &Resolved<'_>) -> Option<Diagnostic> {
    let forwarded = &resolved.policy.settings.forwarded;
    let first = resolved.layers.first()?;
    (*forwarded == Forwarded::default()).then(|| {
        Diagnostic::new(
            Code::UndeclaredForwarding,
            &first.header,
            "the kernel of this host forwards packets, and no layer says for whom",
        )
        .hint(
            "name the networks behind the host, such as `networks = [\"172.17.0.0/16\"]` under `[forwarded]`, or \
             switch it off: sysctl net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
        )
    })
}

/// Without any way in, the next mistake can only be mended at the console.
fn management(resolved: &Resolved<'_>, failsafe: Option<&Failsafe>) -> Option<Diagnostic> {
    let policy = &resolved.policy;
    let first = resolved.layers.first()?;
    let ports = failsafe
        .map(|failsafe| failsafe.management_ports.clone())
        .unwrap_or_default();
    let ports = if ports.is_empty() {
        vec![DEFAULT_MANAGEMENT_PORT]
    } else {
        ports
    };
    if policy.settings.defaults.input == Action::Allow || ports.iter().any(|port| lets_manage(policy, *port))
    {
        return None;
    }
    let port = ports[0];
    let hint = format!("say who may, such as `allow = \"tcp/{port}\"` with `from = \"management\"`");
    match failsafe {
        Some(failsafe) if failsafe.management_sources.is_empty() => Some(
            Diagnostic::new(
                Code::LockOut,
                &first.header,
                format!("nobody could manage the host: no rule allows tcp/{port}, and the failsafe names nobody"),
            )
            .hint(format!("{hint}, or set the failsafe in the agent's settings")),
        ),
        _ => Some(
            Diagnostic::new(
                Code::NoManagementRule,
                &first.header,
                format!("no rule allows management over tcp/{port}; only the failsafe of the agent's settings does"),
            )
            .hint(hint),
        ),
    }
}

/// Whether a rule lets somebody in on the port. That an earlier rule takes it all away is found by `coverage`.
fn lets_manage(policy: &ValidPolicy, port: u16) -> bool {
    policy.rules.iter().any(|rule| {
        rule.direction == Direction::In
            && rule.action == Action::Allow
            && rule.term.is_none()
            && rule
                .matches
                .protocols
                .iter()
                .any(|protocol| allows_port(protocol, port))
    })
}

fn allows_port(protocol: &ProtocolMatch, port: u16) -> bool {
    match protocol {
        ProtocolMatch::Any => true,
        ProtocolMatch::Ports {
            protocol: 6,
            destination,
            ..
        } => ranges::contains(destination, port),
        _ => false,
    }
}
