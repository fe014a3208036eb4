//! What a packet means to the flow tables.

use super::{Env, Work, failsafe};
use crate::{
    address::Family,
    cell::{Mode, reached},
    classify::HeaderView,
    counters::Hook,
    flow::{Flow, FlowKey, Found, Inserted, NewFlow, Seen, Step},
    headers::Headers,
    reason::Reason,
    tables::{Buckets, Image, SlowTables},
    verdict::Decision,
    wire::{icmp, icmpv6, protocol, tcp},
};

/// Whether a packet belongs to a flow; ICMP messages other than echo do not.
#[inline(always)]
#[must_use]
pub(super) const fn has_flow(headers: &Headers) -> bool {
    match headers.protocol {
        protocol::ICMP => matches!(headers.icmp_type(), icmp::ECHO_REQUEST | icmp::ECHO_REPLY),
        protocol::ICMPV6 => matches!(headers.icmp_type(), icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY),
        _ => headers.family != 0,
    }
}

/// Whether the rule that let a flow in has ended. The others decide on its next packet whether it goes on.
#[inline(always)]
#[must_use]
pub(super) const fn rule_ended(flow: &Found<'_>, now_ticks: u32) -> bool {
    flow.expires_ticks() != 0 && reached(now_ticks, flow.expires_ticks())
}

/// A live flow, and which table it is in.
#[derive(Clone, Copy)]
pub(super) struct InTable<'a> {
    pub(super) flow: Found<'a>,
    /// In the table of assured flows.
    pub(super) assured: bool,
}

/// Looks in both tables.
#[inline(always)]
pub(super) fn find<'a, I, A: Buckets, H: Buckets, S>(
    env: &Env<'a, I, A, H, S>,
    key: &FlowKey,
) -> Option<InTable<'a>> {
    let words = key.words();
    let hash = key.hash(env.seed);
    if let Some(flow) = env.flows.find_outlined(words, hash)
        && !flow.flow().is_expired(env.now_ticks, &env.slot.timeouts_ticks)
    {
        return Some(InTable { flow, assured: true });
    }
    let flow = env.half_flows.find_outlined(words, hash)?;
    let alive = !flow.flow().is_expired(env.now_ticks, &env.slot.timeouts_ticks);
    alive.then_some(InTable { flow, assured: false })
}

/// The verdict on an ICMP error, whose quoted packet belongs to `key`. No error changes a flow (RFC 5382 REQ-10), and
/// none speaks for a flow that the policy in force has not judged yet: the packet that it answers was judged before.
#[inline(always)]
pub(super) fn related<I: Image, A, H, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    image: &HeaderView<'_>,
    family: Family,
    key: &FlowKey,
    found: Option<InTable<'_>>,
) -> Reason {
    let is_judged = found.is_some_and(|found| is_judged(env, &found.flow));
    if matches!(env.mode, Mode::Normal) && is_judged {
        return Reason::RelatedIcmp;
    }
    // Management traffic has no flow; its path-MTU messages must come in all the same.
    if failsafe::covers(env, image, family, key).is_some() {
        Reason::RelatedIcmp
    } else {
        Reason::IcmpUnrelated
    }
}

/// How a packet is to be judged, by what the flow tables say of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// As a packet of its flow.
    Pass,
    /// By the rules: there is no flow.
    Judge,
    /// By the rules, as the packet that opened the flow: an older epoch let it in, or a rule that has ended.
    JudgeAgain,
    /// By the rules: the packet opens its flow anew.
    Reopen,
}

#[inline(always)]
pub(super) fn plan<I, A, H, S>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    found: Option<InTable<'_>>,
) -> Plan {
    let Some(found) = found else { return Plan::Judge };
    if !matches!(env.mode, Mode::Normal) {
        return Plan::Judge;
    }
    if matches!(step(headers, hook, &found), Step::Reopen) {
        return Plan::Reopen;
    }
    if !is_judged(env, &found.flow) {
        return Plan::JudgeAgain;
    }
    Plan::Pass
}

/// Whether the rules as they are now have let the flow in.
#[inline(always)]
fn is_judged<I, A, H, S>(env: &Env<'_, I, A, H, S>, flow: &Found<'_>) -> bool {
    flow.epoch() == env.slot.epoch && !rule_ended(flow, env.now_ticks)
}

#[inline(always)]
fn step(headers: &Headers, hook: Hook, found: &InTable<'_>) -> Step {
    let seen = Seen::of(
        headers,
        matches!(hook, Hook::Ingress),
        found.flow.local_acknowledgement(),
    );
    Step::of(found.flow.flow(), seen)
}

/// Passes a packet of a flow and moves the flow on.
#[inline(always)]
pub(super) fn pass<I, A: Buckets, H: Buckets, S>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
    found: &InTable<'_>,
) -> Decision {
    let flow = found.flow.flow();
    let rule = flow.rule;
    let next = match step(headers, hook, found) {
        Step::Refresh => Flow {
            seen_ticks: env.now_ticks,
            ..flow
        },
        Step::Keep | Step::Reopen => flow,
        Step::Become {
            state,
            flags,
            assured,
        } => {
            let next = Flow {
                seen_ticks: env.now_ticks,
                state,
                flags,
                rule,
            };
            if assured && !found.assured {
                return promote(env, headers, hook, work, found, next);
            }
            next
        }
    };
    if matches!(hook, Hook::Egress) && headers.protocol == protocol::TCP && headers.tcp_flags & tcp::ACK != 0
    {
        found.flow.acknowledge(headers.tcp_acknowledgement);
    }
    if next != found.flow.flow() {
        // Where another packet of the flow came first, its change stands and this one's is repeated by the next.
        let _ = found.flow.replace(next);
    }
    Decision::of_flow(rule)
}

/// Moves a flow into the table of assured ones.
#[inline(always)]
fn promote<I, A: Buckets, H: Buckets, S>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
    found: &InTable<'_>,
    flow: Flow,
) -> Decision {
    work.new = NewFlow {
        key: work.subject,
        flow: flow.pack(),
        epoch: env.slot.epoch,
        expires_ticks: found.flow.expires_ticks(),
        local_acknowledgement: match hook {
            Hook::Egress => headers.tcp_acknowledgement,
            Hook::Ingress => found.flow.local_acknowledgement(),
        },
        opened_ticks: found.flow.opened_ticks(),
    };
    let hash = work.subject.hash(env.seed);
    match env.flows.insert(&work.new, hash, &env.slot.timeouts_ticks, false) {
        Inserted::Done => {
            let _ = found.flow.delete();
            Decision::of_flow(flow.rule)
        }
        Inserted::Exists => Decision::of_flow(flow.rule),
        // Not assured yet, so the opener repeats the packet, and there may be room by then.
        Inserted::Refused => Decision::by(Reason::FlowTableFull),
    }
}
