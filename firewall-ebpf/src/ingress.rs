//! What comes in, at XDP.

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use firewall_common::{
    bytes::PacketBytes,
    cell::Mode,
    counters::Hook,
    flow::Table,
    headers::{self, Headers, Progress},
    interface::{InterfaceRecord, LinkType},
    judge::{self, Env, LiveFlows, Next, Work},
    plain::Plain,
    reason::Reason,
    verdict::{Decision, Verdict},
};

use crate::{
    account,
    bytes::XdpBytes,
    maps::{CONTROL, SCRATCH, XDP_SLOTS},
    refuse, slot,
    slot::InForce,
    tables::{AssuredFlows, HalfFlows, KernelTables, SlotImage},
    tail_call,
};

const SCRATCH_PLACE: u32 = Hook::Ingress as u32;

/// The one place where a verdict becomes an XDP action.
#[inline(always)]
const fn action(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Drop | Verdict::Reject => xdp_action::XDP_DROP,
    }
}

/// Entry: passes live flows, hands the rest to the slot in force.
#[xdp(frags)]
pub fn fw_ingress(context: XdpContext) -> u32 {
    action(enter(&context))
}

#[inline(always)]
fn enter(context: &XdpContext) -> Verdict {
    let Some(in_force) = slot::in_force(&CONTROL) else {
        return Verdict::Drop;
    };
    let index = context.ingress_ifindex() as u32;
    let interface = slot::interface(index);
    let link = if interface.link_type == LinkType::RawIp as u8 {
        LinkType::RawIp
    } else {
        LinkType::Ethernet
    };
    let bytes = XdpBytes(context);
    if let Some(passed) = live_plain(&in_force, &bytes, &interface, Hook::Ingress) {
        return passed;
    }
    // In the map, not on the stack: there is not enough of it, and the verifier does not track the map's bytes.
    let Some(scratch) = SCRATCH.get_ptr_mut(SCRATCH_PLACE) else {
        return Verdict::Drop;
    };
    // SAFETY: a per-CPU map value; no other program of this hook runs on this CPU meanwhile.
    let headers = unsafe { &mut *scratch };
    headers.clear(bytes.length() as u32);
    headers.interface_slot = interface.slot;
    headers.policy_slot = in_force.number;
    headers.mode = in_force.mode as u8;
    let progress = headers::parse_into(&bytes, link, headers);
    if progress == Ok(Progress::Complete)
        && let Some(passed) = live(&in_force, headers, Hook::Ingress)
    {
        account::count(headers, &passed, Hook::Ingress);
        return passed.verdict;
    }
    let decision = match progress {
        Ok(progress) => go_on(context, headers.policy_slot, progress),
        Err(reason) => malformed(&in_force, reason),
    };
    account::settle(headers, &decision, Hook::Ingress, index, in_force.now_ticks);
    decision.verdict
}

#[inline(always)]
pub(crate) fn malformed(in_force: &InForce<'_>, reason: Reason) -> Decision {
    Decision::by(if matches!(in_force.mode, Mode::Pause) {
        Reason::Paused
    } else {
        reason
    })
}

#[inline(always)]
const fn live_flows<'a>(in_force: &InForce<'a>) -> LiveFlows<'a, AssuredFlows> {
    LiveFlows {
        table: Table {
            buckets: &AssuredFlows,
            mask: in_force.control.flow_mask,
        },
        slot: in_force.slot,
        seed: &in_force.control.seed,
        now_ticks: in_force.now_ticks,
    }
}

/// The shortest way: a plain packet of a live flow passes and is counted, and nothing of it is kept.
#[inline(always)]
pub(crate) fn live_plain<B: PacketBytes>(
    in_force: &InForce<'_>,
    bytes: &B,
    interface: &InterfaceRecord,
    hook: Hook,
) -> Option<Verdict> {
    if interface.link_type != LinkType::Ethernet as u8 || !matches!(in_force.mode, Mode::Normal) {
        return None;
    }
    let rule = live_flows(in_force).plain(&Plain::read(bytes, hook)?, hook)?;
    account::count_flow(rule, interface.slot, hook, bytes.length() as u32);
    Some(Verdict::Pass)
}

#[inline(always)]
pub(crate) fn live(in_force: &InForce<'_>, headers: &Headers, hook: Hook) -> Option<Decision> {
    if !matches!(in_force.mode, Mode::Normal) {
        return None;
    }
    judge::live(&live_flows(in_force), headers, hook)
}

/// Goes on in the next program, which finds the headers in the scratch place. Returns only where there is none.
#[inline(always)]
fn go_on(context: &XdpContext, slot: u8, progress: Progress) -> Decision {
    match progress {
        Progress::Complete => tail_call::slot(context, &XDP_SLOTS, slot),
        Progress::Extensions => tail_call::extensions(context, &XDP_SLOTS),
    }
    Decision::by(Reason::NoPolicy)
}

/// Walks IPv6 extension headers and hands on to the slot in force.
#[xdp(frags)]
pub fn fw_in_extension(context: XdpContext) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(SCRATCH_PLACE) else {
        return xdp_action::XDP_DROP;
    };
    // SAFETY: a per-CPU map value; no other program of this hook runs on this CPU meanwhile.
    let headers = unsafe { &mut *scratch };
    let Some(in_force) = slot::of_packet(&CONTROL, headers) else {
        return xdp_action::XDP_DROP;
    };
    let decision = match headers::parse_extensions(&XdpBytes(&context), headers) {
        Ok(()) => go_on(&context, headers.policy_slot, Progress::Complete),
        Err(reason) => malformed(&in_force, reason),
    };
    account::settle(
        headers,
        &decision,
        Hook::Ingress,
        context.ingress_ifindex() as u32,
        in_force.now_ticks,
    );
    action(decision.verdict)
}

/// A slot's first program: everything that is not a live flow, up to the rules.
#[xdp(frags)]
pub fn fw_in_judge(context: XdpContext) -> u32 {
    action(slot_step(&context, |env, headers, work| {
        judge::judge_by_flow(env, &XdpBytes(&context), headers, Hook::Ingress, work)
    }))
}

/// A slot's second program: what no policy may break, and bans.
#[xdp(frags)]
pub fn fw_in_guard(context: XdpContext) -> u32 {
    action(slot_step(&context, |env, headers, work| {
        judge::judge_before_rules(env, headers, Hook::Ingress, work)
    }))
}

/// A slot's third program: the rules.
#[xdp(frags)]
pub fn fw_in_rules(context: XdpContext) -> u32 {
    action(slot_step(&context, |env, _, work| {
        judge::judge_by_rules(env, work)
    }))
}

/// Fourth program, of all slots: what the deciding rule means for the flow.
#[xdp(frags)]
pub fn fw_in_settle(context: XdpContext) -> u32 {
    action(slot_step(&context, |env, headers, work| {
        judge::settle(env, headers, Hook::Ingress, work)
    }))
}

/// Fifth program, of all slots: enters a flow.
#[xdp(frags)]
pub fn fw_in_enter(context: XdpContext) -> u32 {
    action(slot_step(&context, |env, headers, work| {
        judge::enter(env, headers, Hook::Ingress, work)
    }))
}

/// Runs one step of the verdict path and what follows from it.
#[inline(always)]
fn slot_step(context: &XdpContext, step: impl FnOnce(&SlotEnv<'_>, &Headers, &mut Work) -> Next) -> Verdict {
    let Some(headers) = SCRATCH.get(SCRATCH_PLACE) else {
        return Verdict::Drop;
    };
    let Some(in_force) = slot::of_packet(&CONTROL, headers) else {
        return Verdict::Drop;
    };
    let Some(work) = account::work(SCRATCH_PLACE) else {
        return Verdict::Drop;
    };
    let image = SlotImage {
        forgetting: &raw mut work.forgetting,
    };
    let decision = match step(&env(&in_force, &image), headers, work) {
        Next::Decided(decision) => decision,
        Next::BeforeRules => {
            tail_call::before_rules(context, &XDP_SLOTS, headers.policy_slot);
            Decision::by(Reason::NoPolicy)
        }
        Next::Rules => {
            tail_call::rules(context, &XDP_SLOTS, headers.policy_slot);
            Decision::by(Reason::NoPolicy)
        }
        Next::Settle => {
            tail_call::settle(context, &XDP_SLOTS);
            Decision::by(Reason::NoPolicy)
        }
        Next::Enter => {
            tail_call::enter(context, &XDP_SLOTS);
            Decision::by(Reason::NoPolicy)
        }
        Next::Flow => {
            tail_call::slot(context, &XDP_SLOTS, headers.policy_slot);
            Decision::by(Reason::NoPolicy)
        }
    };
    account::settle(
        headers,
        &decision,
        Hook::Ingress,
        context.ingress_ifindex() as u32,
        in_force.now_ticks,
    );
    if matches!(decision.verdict, Verdict::Reject) {
        tail_call::refuse(context, &XDP_SLOTS);
    }
    decision.verdict
}

/// What a slot program judges with.
pub(crate) type SlotEnv<'a> = Env<'a, SlotImage, AssuredFlows, HalfFlows, KernelTables>;

#[inline(always)]
pub(crate) fn env<'a>(in_force: &InForce<'a>, image: &'a SlotImage) -> SlotEnv<'a> {
    Env {
        image,
        flows: Table {
            buckets: &AssuredFlows,
            mask: in_force.control.flow_mask,
        },
        half_flows: Table {
            buckets: &HalfFlows,
            mask: in_force.control.half_flow_mask,
        },
        slow: &KernelTables,
        slot: in_force.slot,
        seed: &in_force.control.seed,
        mode: in_force.mode,
        now_ticks: in_force.now_ticks,
        has_bans: in_force.control.bans != 0,
    }
}

/// Answers a rejected packet.
#[xdp(frags)]
pub fn fw_in_reject(context: XdpContext) -> u32 {
    refuse::ingress(&context, SCRATCH_PLACE).unwrap_or(xdp_action::XDP_DROP)
}
