//! Which open connections the policy would have let in.

use globset::Glob;

use crate::{
    dataplane::SocketFlow,
    policy::{
        evaluate::{Probe, ProbeProtocol, evaluate},
        model::{Action, Direction, ValidPolicy},
    },
};

use super::in_force::default_number;

/// The counter of the rule that allows a connection, if one does.
pub(super) fn judge(policy: &ValidPolicy, numbers: &[u16], socket: &SocketFlow) -> Option<u16> {
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
    let decision = evaluate(
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
    );
    if decision.verdict != Action::Allow {
        return None;
    }
    match decision.rule {
        Some(rule) => numbers.get(rule).copied(),
        None => Some(default_number(direction)),
    }
}

/// There everything is judged as forwarded, what this host takes part in as well.
fn on_forwarded_interface(policy: &ValidPolicy, socket: &SocketFlow) -> bool {
    let globs = policy.settings.forwarded.interfaces.iter();
    let mut globs = globs.filter_map(|glob| Glob::new(glob).ok());
    let interface = socket.interface.as_deref();
    interface.is_some_and(|name| globs.any(|glob| glob.compile_matcher().is_match(name)))
}
