//! The verdict on a packet: first the short way of a live flow, then everything else in order.
//!
//! The entry program takes the short way ([`live()`]); what it cannot decide goes to the slot program of the policy in
//! force ([`judge`]).

mod failsafe;
mod first;
mod flows;
mod fragments;
mod live;
mod options;
mod protected;
mod quote;
mod report;
mod rules;
mod spoof;

pub use first::{first, listed};
pub use live::{Assured, LiveFlows, live};
pub use report::event;

use bytemuck::{Pod, Zeroable};
use flows::Plan;

use crate::{
    bytes::PacketBytes,
    capture::Cause,
    cell::Mode,
    classify::{self, Question},
    control::{SlotControl, slot_flags},
    counters::Hook,
    event::Event,
    flow::{FlowKey, NewFlow, Table},
    headers::{FragmentKind, Headers, marks},
    image::image_flags,
    opaque::afresh,
    reason::Reason,
    tables::{Buckets, Image, SlowTables},
    verdict::{Decision, VerdictRecord},
};

/// What a slot program judges with.
#[derive(Debug)]
pub struct Env<'a, I, A, H, S> {
    /// The policy.
    pub image: &'a I,
    /// Assured flows.
    pub flows: Table<'a, A>,
    /// Flows that are not assured yet.
    pub half_flows: Table<'a, H>,
    /// The other tables.
    pub slow: &'a S,
    /// Settings of the slot in force.
    pub slot: &'a SlotControl,
    /// Its number.
    pub slot_number: u8,
    /// Secret of the flow table's hash.
    pub seed: &'a [u64; 4],
    /// The mode in force.
    pub mode: Mode,
    /// The time.
    pub now_ticks: u32,
    /// Whether there are bans at all.
    pub has_bans: bool,
}

/// Room for what would not fit on the kernel's 512 bytes of stack. What it holds at first does not matter.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Work {
    /// The flow that the packet belongs to, or that it quotes.
    subject: FlowKey,
    /// A flow on its way into a table.
    pub new: NewFlow,
    /// The packet that an ICMP error quotes.
    quoted: Headers,
    /// What the classifier is asked.
    question: Question,
    /// What it has answered.
    record: VerdictRecord,
    /// A word for [`Image::forget`].
    pub forgetting: u32,
    /// Bits of [`rules::known`].
    known: u32,
    /// Why a packet was dropped, on its way to whoever captures it.
    pub cause: Cause,
    /// Spare.
    reserved: u32,
    /// An answer on its way out.
    pub frame: [u8; 96],
    /// An event on its way out.
    pub event: Event,
}

/// Where a packet goes from a step of the verdict path. Each step is a program of its own in the kernel: together they
/// would be too much for its verifier and its stack.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nowhere: this is the verdict.
    Decided(Decision),
    /// On to [`judge_before_rules`].
    BeforeRules,
    /// On to [`ask`].
    Ask,
    /// On to [`judge_by_rules`].
    Rules,
    /// On to [`settle`].
    Settle,
    /// On to [`enter`].
    Enter,
    /// Back to [`judge_by_flow`]: the rules have taken its flow over into the epoch in force.
    Flow,
}

/// Judges a packet that the live path has not passed.
#[inline(always)]
pub fn judge<I: Image, A: Buckets, H: Buckets, S: SlowTables, P: PacketBytes>(
    env: &Env<'_, I, A, H, S>,
    packet: &P,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Decision {
    let mut next = Next::Flow;
    // A flow is taken over at most once for a packet; then it is of the epoch in force.
    for _ in 0..12 {
        next = match next {
            Next::Flow => judge_by_flow(env, packet, headers, hook, work),
            Next::BeforeRules => judge_before_rules(env, headers, hook, work),
            Next::Ask => ask(env, headers, hook, work),
            Next::Rules => judge_by_rules(env, work),
            Next::Settle => settle(env, headers, hook, work),
            Next::Enter => enter(env, headers, hook, work),
            Next::Decided(decision) => return decision,
        };
    }
    Decision::by(Reason::Internal)
}

/// First step: what is decided without the rules.
#[inline(always)]
pub fn judge_by_flow<I: Image, A: Buckets, H: Buckets, S: SlowTables, P: PacketBytes>(
    env: &Env<'_, I, A, H, S>,
    packet: &P,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Next {
    if matches!(env.mode, Mode::Pause) {
        return Next::Decided(Decision::by(Reason::Paused));
    }
    match by_flow(env, packet, headers, hook, work) {
        Ok(decision) => {
            keep_first(env, headers, hook, &decision);
            Next::Decided(decision)
        }
        Err(Stop::Reason(reason)) => {
            let decision = Decision::by(reason);
            keep_first(env, headers, hook, &decision);
            Next::Decided(decision)
        }
        Err(Stop::Undecided) => Next::BeforeRules,
    }
}

/// Second step: what no policy may break, the mode, bans, and block lists.
#[inline(always)]
pub fn judge_before_rules<I: Image, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Next {
    match before_rules(env, headers, hook, work) {
        Ok(()) => Next::Ask,
        Err(reason) => refused(env, headers, hook, reason),
    }
}

/// Third step: what the rules are asked, after what they are not asked about. A step of its own for kernels before
/// 6.4, whose verifier keeps apart whatever differed before a call.
#[inline(always)]
pub fn ask<I: Image, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Next {
    match question(env, headers, hook, work) {
        Ok(()) => Next::Rules,
        Err(reason) => refused(env, headers, hook, reason),
    }
}

#[inline(always)]
fn question<I: Image, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Result<(), Reason> {
    let image = classify::header(env.image).ok_or(Reason::Internal)?;
    rules::prepare(env, headers, hook, &image, work)
}

#[inline(always)]
fn refused<I, A, H, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    reason: Reason,
) -> Next {
    let decision = Decision::by(reason);
    keep_first(env, headers, hook, &decision);
    Next::Decided(decision)
}

/// Fourth step: the rules.
#[inline(always)]
pub fn judge_by_rules<I: Image, A, H, S>(env: &Env<'_, I, A, H, S>, work: &mut Work) -> Next {
    let Some(image) = classify::header(env.image) else {
        return Next::Decided(Decision::by(Reason::Internal));
    };
    match classify::answer_apart(env.image, &image, &mut work.question) {
        Some(record) => {
            work.record = record;
            Next::Settle
        }
        None => Next::Decided(Decision::by(Reason::Internal)),
    }
}

/// Fifth step: what the deciding rule's record means for the packet and its flow.
#[inline(always)]
pub fn settle<I, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Next {
    let decision = match rules::settle(env, headers, hook, work) {
        Ok(rules::Answer::KeepFlow) => return Next::Flow,
        Ok(rules::Answer::Enter) => return Next::Enter,
        Ok(rules::Answer::Final(decision)) => decision,
        Err(reason) => Decision::by(reason),
    };
    keep_first(env, headers, hook, &decision);
    Next::Decided(decision)
}

/// Sixth step: the packet's flow is entered.
#[inline(always)]
pub fn enter<I, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Next {
    let decision = rules::enter(env, work).unwrap_or_else(Decision::by);
    keep_first(env, headers, hook, &decision);
    Next::Decided(decision)
}

/// Keeps the verdict on a first fragment for those that follow.
#[inline(always)]
fn keep_first<I, A, H, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    decision: &Decision,
) {
    if headers.fragment == FragmentKind::First as u8 {
        fragments::keep(env, headers, hook, decision);
    }
}

/// Why the first step ends without a flow that decides.
enum Stop {
    Reason(Reason),
    Undecided,
}

impl From<Reason> for Stop {
    #[inline(always)]
    fn from(reason: Reason) -> Self {
        Self::Reason(reason)
    }
}

#[inline(always)]
fn by_flow<I: Image, A: Buckets, H: Buckets, S: SlowTables, P: PacketBytes>(
    env: &Env<'_, I, A, H, S>,
    packet: &P,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Result<Decision, Stop> {
    let image = classify::header(env.image).ok_or(Reason::Internal)?;
    let Some(family) = headers.ip_family() else {
        return Err(protected::link_protocol(headers.ether_type, &image).into());
    };
    if headers.marked(marks::IPV4_OPTIONS) {
        options::check(
            packet,
            headers,
            image.flags() & image_flags::ALLOW_SOURCE_ROUTING != 0,
        )?;
    }
    if matches!(hook, Hook::Ingress) {
        spoof::check(headers, family)?;
    }
    if headers.fragment == FragmentKind::Later as u8 {
        return Err(fragments::later(env, headers, family, hook).into());
    }
    // An ICMP error speaks of the flow that it quotes; everything else of its own.
    if quote::is_error(headers) {
        quote::quoted_flow(packet, headers, hook, work)?;
        let found = flows::find(env, &work.subject);
        let family = afresh(headers).ip_family().ok_or(Reason::Internal)?;
        return Err(flows::related(env, &image, family, &work.subject, found).into());
    }
    work.subject = FlowKey::of(headers, hook);
    let found = if flows::has_flow(headers) {
        flows::find(env, &work.subject)
    } else {
        None
    };
    let headers = afresh(headers);
    match (flows::plan(env, headers, hook, found), found) {
        (Plan::Pass, Some(found)) => Ok(flows::pass(env, headers, hook, work, &found)),
        _ => Err(Stop::Undecided),
    }
}

#[inline(always)]
fn before_rules<I: Image, A: Buckets, H: Buckets, S: SlowTables>(
    env: &Env<'_, I, A, H, S>,
    headers: &Headers,
    hook: Hook,
    work: &mut Work,
) -> Result<(), Reason> {
    let image = classify::header(env.image).ok_or(Reason::Internal)?;
    let family = headers.ip_family().ok_or(Reason::Internal)?;
    if let Some(reason) = protected::check(headers, family, hook) {
        return Err(reason);
    }
    if let Some(reason) = failsafe::check(env, headers, family, hook, &image) {
        return Err(reason);
    }
    let headers = afresh(headers);
    let family = headers.ip_family().ok_or(Reason::Internal)?;
    if matches!(env.mode, Mode::Panic) {
        return Err(Reason::Panic);
    }
    let remote = if matches!(hook, Hook::Ingress) {
        headers.source
    } else {
        headers.destination
    };
    let reason = if env.has_bans && env.slow.is_banned(family, remote, env.now_ticks) {
        Reason::Banned
    } else if env.slot.flags & slot_flags::LISTS != 0
        && env.slow.is_listed(
            env.slow.list_root(env.slot_number, family, remote),
            family,
            remote,
        )
    {
        Reason::Listed
    } else {
        return Ok(());
    };
    if flows::has_flow(headers)
        && let Some(refused) = flows::find(env, &work.subject)
    {
        let _ = refused.flow.delete();
    }
    Err(reason)
}
