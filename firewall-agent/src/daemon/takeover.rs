//! Which open connections the policy would have let in.

use globset::Glob;

use crate::{
    dataplane::{Admission, SocketFlow},
    policy::{
        evaluate::{Probe, ProbeProtocol, evaluate_without},
        model::{Action, Direction, Term, ValidPolicy},
    },
};

use super::in_force::default_number;

/// The rule that allows a connection, if one does. `end` says when rules end, in ticks; `None` where that is over.
pub(super) fn judge(
    policy: &ValidPolicy,
    numbers: &[u16],
    end: &dyn Fn(Term) -> Option<u32>,
    socket: &SocketFlow,
) -> Option<Admission> {
    let (direction, source, destination) = if socket.opened_by_remote {
        (Direction::In, socket.remote, socket.local)
    } else {
        (Direction::Out, socket.local, socket.remote)
    };
    let direction = if on_forwarded_interface(policy, socket) {
        Direction::Forward
    } else {
        direction
    };
    let decision = evaluate_without(
        policy,
        &Probe {
            direction,
            source: source.ip().to_canonical(),
            destination: destination.ip().to_canonical(),
            protocol: ProbeProtocol::Ports {
                protocol: socket.protocol,
                source: source.port(),
                destination: destination.port(),
            },
            interface: socket.interface.as_deref(),
            vlan: None,
        },
        |rule| rule.term.is_some_and(|term| end(term).is_none()),
    );
    if decision.verdict != Action::Allow {
        return None;
    }
    match decision.rule {
        Some(rule) => Some(Admission {
            rule: numbers.get(rule).copied()?,
            expires_ticks: policy.rules[rule].term.and_then(end).unwrap_or(0),
        }),
        None => Some(Admission::for_good(default_number(direction))),
    }
}

/// There everything is judged as forwarded, what this host takes part in as well.
fn on_forwarded_interface(policy: &ValidPolicy, socket: &SocketFlow) -> bool {
    let globs = policy.settings.forwarded.interfaces.iter();
    let mut globs = globs.filter_map(|glob| Glob::new(glob).ok());
    let interface = socket.interface.as_deref();
    interface.is_some_and(|name| globs.any(|glob| glob.compile_matcher().is_match(name)))
}
