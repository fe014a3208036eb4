//! Live flows, listed and ended.

use std::net::IpAddr;

use firewall_common::{
    address::Family,
    flow::{STATES, State, flow_flags},
    wire::protocol,
};

use super::{agent::Agent, describe, in_force::InForce, report::kernel_failure};
use crate::{
    control::protocol::{Failure, FailureKind, FlowEnd, FlowFilter, FlowInfo, FlowSort, Flows, FlowsDeleted},
    dataplane::FlowView,
    state::Actor,
};

/// Most flows in one reply.
const MOST_FLOWS: u32 = 100_000;

/// Fewer flows are not worth sorting in between.
const LEAST_SORTED: usize = 1024;

/// Leaves the first flows in an order.
fn first(flows: &mut Vec<FlowInfo>, limit: usize, sort: Option<FlowSort>, reverse: bool) {
    if let Some(sort) = sort {
        flows.sort_by(|one, other| {
            let order = sort.compare(one, other);
            if reverse { order.reverse() } else { order }
        });
    }
    flows.truncate(limit);
}

/// A filter whose names are resolved.
struct Wanted<'a> {
    filter: &'a FlowFilter,
    rules: Option<Vec<u16>>,
    state: Option<State>,
}

impl Agent {
    /// Live flows that a filter takes.
    pub fn flows(&self, filter: &FlowFilter, limit: u32) -> Result<Flows, Failure> {
        self.sorted_flows(filter, limit, None, false)
    }

    /// The first of the live flows that a filter takes, in an order.
    pub fn sorted_flows(
        &self,
        filter: &FlowFilter,
        limit: u32,
        sort: Option<FlowSort>,
        reverse: bool,
    ) -> Result<Flows, Failure> {
        let in_force = self.in_force();
        let wanted = Wanted::new(filter, &in_force)?;
        let limit = limit.min(MOST_FLOWS) as usize;
        let mut flows = Flows {
            flows: Vec::new(),
            total: 0,
        };
        self.kernel()
            .dataplane
            .visit_flows(&mut |view| {
                if wanted.takes(view) {
                    flows.total += 1;
                    if flows.flows.len() < limit || sort.is_some() {
                        flows.flows.push(info(view, &in_force));
                    }
                    // Of a million flows no more are kept than are asked for, or twice as many.
                    if flows.flows.len() >= limit.saturating_mul(2).max(LEAST_SORTED) {
                        first(&mut flows.flows, limit, sort, reverse);
                    }
                }
                true
            })
            .map_err(|error| kernel_failure(&error))?;
        first(&mut flows.flows, limit, sort, reverse);
        Ok(flows)
    }

    /// Ends the live flows that a filter takes.
    pub fn delete_flows(&self, by: &Actor, filter: &FlowFilter) -> Result<FlowsDeleted, Failure> {
        let in_force = self.in_force();
        let wanted = Wanted::new(filter, &in_force)?;
        let flows = self
            .kernel()
            .dataplane
            .delete_flows(&mut |view| wanted.takes(view))
            .map_err(|error| kernel_failure(&error))?;
        tracing::info!(
            uid = by.uid,
            user = by.user,
            flows,
            ?filter,
            "live flows were ended"
        );
        Ok(FlowsDeleted { flows })
    }
}

impl<'a> Wanted<'a> {
    fn new(filter: &'a FlowFilter, in_force: &InForce) -> Result<Self, Failure> {
        let rules = filter.rule.as_deref().map(|name| rule_numbers(in_force, name));
        if rules.as_ref().is_some_and(Vec::is_empty) {
            let name = filter.rule.as_deref().unwrap_or_default();
            let known = in_force.rules().map(|(rule, _)| &*rule.name);
            return Err(super::change::no_such_rule_among(name, known));
        }
        let state = filter.state.as_deref().map(state_of).transpose()?;
        Ok(Self { filter, rules, state })
    }

    fn takes(&self, view: &FlowView) -> bool {
        let filter = self.filter;
        let (remote, local) = ends(view);
        filter.remote.is_none_or(|network| network.contains(&remote))
            && filter.local.is_none_or(|network| network.contains(&local))
            && filter.protocol.is_none_or(|number| number == view.key.protocol)
            && filter.port.is_none_or(|port| has_port(view, port))
            && filter
                .remote_port
                .is_none_or(|port| view_ports(view).is_some_and(|ports| ports.0 == port))
            && filter
                .local_port
                .is_none_or(|port| view_ports(view).is_some_and(|ports| ports.1 == port))
            && filter
                .direction
                .as_deref()
                .is_none_or(|wanted| wanted == direction(view))
            && filter
                .min_age_seconds
                .is_none_or(|least| view.age.as_secs() >= least)
            && filter
                .min_idle_seconds
                .is_none_or(|least| view.idle.as_secs() >= least)
            && filter
                .max_left_seconds
                .is_none_or(|most| view.remaining.as_secs() <= most)
            && self.state.is_none_or(|state| state == view.flow.state)
            && self
                .rules
                .as_ref()
                .is_none_or(|rules| rules.contains(&view.flow.rule))
    }
}

fn rule_numbers(in_force: &InForce, name: &str) -> Vec<u16> {
    let is_half = |rule: &str| rule.rsplit_once('/').is_some_and(|(whole, _)| whole == name);
    in_force
        .rules()
        .filter(|(rule, _)| &*rule.name == name || is_half(&rule.name))
        .map(|(_, number)| number)
        .collect()
}

/// Every state; numbers without one are read as another.
pub(crate) fn states() -> impl Iterator<Item = State> {
    (0..)
        .take(STATES)
        .map(|number| (number, State::from_number(number)))
        .filter(|(number, state)| *state as u8 == *number)
        .map(|(_, state)| state)
}

fn state_of(name: &str) -> Result<State, Failure> {
    states().find(|state| state.name() == name).ok_or_else(|| {
        let names: Vec<&str> = states().map(State::name).collect();
        Failure::new(
            FailureKind::BadRequest,
            format!("there is no flow state `{name}`"),
        )
        .hint(format!("the states are {}", names.join(", ")))
    })
}

pub(super) fn ends(view: &FlowView) -> (IpAddr, IpAddr) {
    let family = if view.key.family == Family::V4 as u8 {
        Family::V4
    } else {
        Family::V6
    };
    (view.key.remote.to_ip(family), view.key.local.to_ip(family))
}

const fn has_ports(number: u8) -> bool {
    matches!(
        number,
        protocol::TCP | protocol::UDP | protocol::SCTP | protocol::UDP_LITE
    )
}

const fn is_echo(number: u8) -> bool {
    matches!(number, protocol::ICMP | protocol::ICMPV6)
}

const fn has_port(view: &FlowView, port: u16) -> bool {
    has_ports(view.key.protocol) && (view.key.remote_port == port || view.key.local_port == port)
}

/// Ports of the other and of this end, where there are ports.
fn view_ports(view: &FlowView) -> Option<(u16, u16)> {
    has_ports(view.key.protocol).then_some((view.key.remote_port, view.key.local_port))
}

/// Which end has opened it.
const fn direction(view: &FlowView) -> &'static str {
    if view.flow.flags & flow_flags::OPENED_BY_REMOTE != 0 {
        "in"
    } else {
        "out"
    }
}

fn info(view: &FlowView, in_force: &InForce) -> FlowInfo {
    let key = &view.key;
    let (remote, local) = ends(view);
    FlowInfo {
        protocol: describe::protocol_name(key.protocol),
        remote: FlowEnd {
            address: remote,
            port: has_ports(key.protocol).then_some(key.remote_port),
        },
        local: FlowEnd {
            address: local,
            port: (has_ports(key.protocol) || is_echo(key.protocol)).then_some(key.local_port),
        },
        direction: direction(view).to_owned(),
        state: view.flow.state.name().to_owned(),
        rule: in_force
            .counter_name(view.flow.rule)
            .map_or_else(|| format!("#{}", view.flow.rule), |name| name.to_string()),
        rule_ended: view.rule_ended,
        age_seconds: view.age.as_secs(),
        idle_seconds: view.idle.as_secs(),
        remaining_seconds: view.remaining.as_secs(),
    }
}
