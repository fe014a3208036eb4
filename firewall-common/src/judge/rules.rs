//! The rules, for packets that open a flow and for flows that other rules have let in.

use super::{
    Env, Work,
    flows::{self, InTable, Plan},
};
use crate::{
    address::Family,
    classify::{self, HeaderView, MatchKey},
    counters::Hook,
    flow::{Flow, Inserted, NewFlow, State, flow_flags},
    headers::Headers,
    image::{Chain, NO_BLOCK, image_flags},
    opaque::{afresh, reloaded},
    reason::Reason,
    rehearsal::is_dry,
    tables::{Buckets, Image, SlowTables},
    verdict::{Decision, Verdict, VerdictRecord, verdict_flags},
    wire::{icmp, icmpv6, protocol, tcp},
};

/// What the rules have made of a packet.
pub(super) enum Answer {
    /// The verdict.
    Final(Decision),
    /// Its flow goes on in the epoch in force; the packet is to be judged as one of its.
    KeepFlow,
    /// [`Work::new`] is to be entered, see [`enter`].
    Enter,
}

/// What is known of the packet's flow before the rules are asked. Kept in memory, not in registers: the classifier is
/// then the same to the verifier, whatever the flow.
pub(super) mod known {
    /// The table holds a flow of these ends.
    pub(in crate::judge) const IN_TABLE: u32 = 1;
    /// It lives, and an older epoch let it in, or a rule that has ended.
    pub(in crate::judge) const LIVE: u32 = 1 << 1;
    /// The packet goes the way of the one that opened it.
    pub(in crate::judge) const OPENERS_WAY: u32 = 1 << 2;
    /// The policy leaves live flows alone.
    pub(in crate::judge) const KEEP_LIVE_FLOWS: u32 = 1 << 3;
    /// The rule that let the flow in has ended.
    pub(in crate::judge) const RULE_ENDED: u32 = 1 << 4;
}

/// Leaves the question for the classifier in memory, and what is known of the flow for [`settle`].
#[inline(always)]
pub(super) fn prepare<I: Image, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    image: &HeaderView<'_>,
    work: &mut Work,
) -> Result<(), Reason> {
    let mut known = look(env, headers, hook, work);
    if image.flags() & image_flags::KEEP_LIVE_FLOWS != 0 {
        known |= known::KEEP_LIVE_FLOWS;
    }
    work.known = known;
    let (known, headers) = (reloaded(&work.known), afresh(headers));
    let family = headers.ip_family().ok_or(Reason::Internal)?;
    if known & known::LIVE == 0 {
        stateless_refusal(headers, image)?;
    }
    // A live flow is judged by the packet that opened it.
    let opened_here = known & (known::LIVE | known::OPENERS_WAY) != known::LIVE;
    let (key, opener_hook) = if opened_here {
        (headers.match_key(family), hook)
    } else {
        (opener_key(headers, family), other(hook))
    };
    let chain = chain(env.image, image, &key, opener_hook)?;
    work.question.put(chain, &key, env.now_ticks);
    Ok(())
}

/// Keeps or ends the flow that there is, and says what flow is to be opened.
#[inline(always)]
pub(super) fn settle<I, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Result<Answer, Reason> {
    let record = work.record;
    let family = headers.ip_family().ok_or(Reason::Internal)?;
    let passes = record.verdict == Verdict::Pass as u8;
    let live = work.known & known::LIVE != 0;
    if work.known & known::IN_TABLE != 0
        && let Some(old) = flows::find(env, &work.subject)
    {
        let keep_anyway = work.known & (known::KEEP_LIVE_FLOWS | known::RULE_ENDED) == known::KEEP_LIVE_FLOWS;
        if live && (keep_anyway || passes) {
            let answer = take_over(env, &old, &record, keep_anyway);
            if is_dry() {
                // The flow stands as it was, and would be judged again for ever.
                let rule = if keep_anyway {
                    old.flow.flow().rule
                } else {
                    record.rule
                };
                return Ok(Answer::Final(Decision::of_flow(rule)));
            }
            return Ok(answer);
        }
        // A packet that would open the flow anew and may not leaves the old one alone.
        if live || passes {
            let _ = old.flow.delete();
        }
    }
    if passes && matches!(hook, Hook::Ingress) && env.slow.is_local(family, headers.source) {
        return Err(Reason::SpoofedOwn);
    }
    // The refusal of an outgoing packet comes in on the interface that it would have left by.
    let refuses = record.verdict == Verdict::Reject as u8 && matches!(hook, Hook::Egress);
    if (passes || refuses) && flows::has_flow(headers) {
        let state = if passes {
            opening_state(headers)
        } else {
            State::Refused
        };
        work.new = new_flow(env, headers, hook, work, state);
        return Ok(Answer::Enter);
    }
    Ok(Answer::Final(decision(&record)))
}

/// Enters the flow that [`settle`] has made. Where there is no room, what would have passed is dropped.
#[inline(always)]
pub(super) fn enter<I, A, H: Buckets, S>(env: &Env<'_, I, A, H, S>, work: &Work) -> Result<Decision, Reason> {
    let hash = work.new.key.hash(env.seed);
    let entered = env
        .half_flows
        .insert(&work.new, hash, &env.slot.timeouts_ticks, true);
    let passes = work.record.verdict == Verdict::Pass as u8;
    if passes && matches!(entered, Inserted::Refused) {
        return Err(Reason::FlowTableFull);
    }
    Ok(decision(&work.record))
}

/// Looks for the packet's flow; the answer is bits of [`known`].
#[inline(always)]
fn look<I: Image, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &Work,
) -> u32 {
    if !flows::has_flow(headers) {
        return 0;
    }
    let Some(found) = flows::find(env, &work.subject) else {
        return 0;
    };
    let opened_by_remote = found.flow.flow().flags & flow_flags::OPENED_BY_REMOTE != 0;
    let mut bits = known::IN_TABLE;
    if flows::plan(env, headers, hook, Some(found)) == Plan::JudgeAgain {
        bits |= known::LIVE;
    }
    if opened_by_remote == matches!(hook, Hook::Ingress) {
        bits |= known::OPENERS_WAY;
    }
    if flows::rule_ended(&found.flow, env.now_ticks) {
        bits |= known::RULE_ENDED;
    }
    bits
}

/// Takes a live flow over into the epoch in force, under the rule that now lets it in.
#[inline(always)]
fn take_over<I, A, H, S>(
    env: &Env<'_, I, A, H, S>,
    live: &InTable<'_>,
    record: &VerdictRecord,
    keep_rule: bool,
) -> Answer {
    let flow = live.flow.flow();
    let expires = if keep_rule {
        live.flow.expires_ticks()
    } else {
        record.expires_ticks
    };
    if !keep_rule && flow.rule != record.rule {
        // Where another packet has changed the flow meanwhile, the rule is put in by a later judgement.
        let _ = live.flow.replace(Flow {
            rule: record.rule,
            ..flow
        });
    }
    let _ = live.flow.judged(env.slot.epoch, expires);
    Answer::KeepFlow
}

/// Packets that cannot open a flow, whatever the rules say.
#[inline(always)]
fn stateless_refusal(headers: &Headers, image: &HeaderView<'_>) -> Result<(), Reason> {
    match headers.protocol {
        protocol::TCP => {
            let opens = headers.tcp_flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN;
            let midflow = headers.tcp_flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::ACK;
            if opens || (midflow && image.flags() & image_flags::MIDFLOW_PICKUP != 0) {
                return Ok(());
            }
            Err(Reason::TcpNoState)
        }
        protocol::ICMP => match headers.icmp_type() {
            icmp::ECHO_REPLY => Err(Reason::EchoNoState),
            icmp::REDIRECT if image.flags() & image_flags::ALLOW_REDIRECTS == 0 => Err(Reason::IcmpRedirect),
            _ => Ok(()),
        },
        protocol::ICMPV6 => match headers.icmp_type() {
            icmpv6::ECHO_REPLY => Err(Reason::EchoNoState),
            icmpv6::REDIRECT if image.flags() & image_flags::ALLOW_REDIRECTS == 0 => {
                Err(Reason::IcmpRedirect)
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

#[inline(always)]
const fn other(hook: Hook) -> Hook {
    match hook {
        Hook::Ingress => Hook::Egress,
        Hook::Egress => Hook::Ingress,
    }
}

/// The fields of the packet that opened the flow of a reply.
#[inline(always)]
fn opener_key(headers: &Headers, family: Family) -> MatchKey {
    let reply = headers.match_key(family);
    let destination_port = match headers.protocol {
        protocol::ICMP => u16::from(icmp::ECHO_REQUEST) << 8,
        protocol::ICMPV6 => u16::from(icmpv6::ECHO_REQUEST) << 8,
        _ => reply.source_port,
    };
    let source_port = match headers.protocol {
        protocol::ICMP | protocol::ICMPV6 => 0,
        _ => reply.destination_port,
    };
    MatchKey {
        source: reply.destination,
        destination: reply.source,
        source_port,
        destination_port,
        ..reply
    }
}

/// The chain that a packet is judged by: forwarded only where the policy declares it, else as this host's own.
#[inline(always)]
fn chain<I: Image>(image: &I, header: &HeaderView<'_>, key: &MatchKey, hook: Hook) -> Result<Chain, Reason> {
    if header.flags() & image_flags::FORWARDS != 0 && is_forwarded(image, header, key, hook)? {
        return Ok(match key.family {
            Family::V4 => Chain::ForwardV4,
            Family::V6 => Chain::ForwardV6,
        });
    }
    Ok(match (hook, key.family) {
        (Hook::Ingress, Family::V4) => Chain::InputV4,
        (Hook::Ingress, Family::V6) => Chain::InputV6,
        (Hook::Egress, Family::V4) => Chain::OutputV4,
        (Hook::Egress, Family::V6) => Chain::OutputV6,
    })
}

#[inline(always)]
fn is_forwarded<I: Image>(
    image: &I,
    header: &HeaderView<'_>,
    key: &MatchKey,
    hook: Hook,
) -> Result<bool, Reason> {
    if header.forwards_on(key.interface_slot) {
        return Ok(true);
    }
    let address = if matches!(hook, Hook::Ingress) {
        key.destination
    } else {
        key.source
    };
    let tree = match key.family {
        Family::V4 => header.forwarded_v4(),
        Family::V6 => header.forwarded_v6(),
    };
    if tree == NO_BLOCK {
        return Ok(false);
    }
    let found = classify::find_address(image, tree, key.family, &address).ok_or(Reason::Internal)?;
    Ok(found != 0)
}

#[inline(always)]
pub(super) fn decision(record: &VerdictRecord) -> Decision {
    let verdict = match record.verdict {
        0 => Verdict::Pass,
        2 => Verdict::Reject,
        _ => Verdict::Drop,
    };
    let by_default = record.flags & verdict_flags::DEFAULT != 0 && record.verdict != 0;
    Decision {
        verdict,
        reason: if by_default { Reason::Default } else { Reason::Rule },
        rule: record.rule,
        log_per_second: record.log_per_second,
    }
}

/// The state that a packet opens a flow in.
#[inline(always)]
const fn opening_state(headers: &Headers) -> State {
    match headers.protocol {
        protocol::TCP if headers.tcp_flags & tcp::SYN != 0 => State::SynSent,
        // Picked up in mid-flow: assured once both sides have gone on.
        protocol::TCP => State::ResetInDoubt,
        protocol::UDP | protocol::UDP_LITE => State::Unreplied,
        protocol::ICMP | protocol::ICMPV6 => State::Echo,
        _ => State::Other,
    }
}

#[inline(always)]
fn new_flow<I, A, H, S>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &Work,
    state: State,
) -> NewFlow {
    let flags = if matches!(hook, Hook::Ingress) {
        flow_flags::OPENED_BY_REMOTE
    } else {
        0
    };
    NewFlow {
        key: work.subject,
        flow: Flow {
            seen_ticks: env.now_ticks,
            state,
            flags,
            rule: work.record.rule,
        }
        .pack(),
        epoch: env.slot.epoch,
        expires_ticks: work.record.expires_ticks,
        local_acknowledgement: if flags == 0 {
            headers.tcp_acknowledgement
        } else {
            0
        },
        opened_ticks: env.now_ticks,
    }
}
