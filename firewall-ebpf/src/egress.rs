//! What goes out, at tcx (clsact where there is no tcx).

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    macros::classifier,
    programs::TcContext,
};
use firewall_common::{
    bytes::PacketBytes,
    counters::Hook,
    headers::{self, Headers, Progress},
    image::UNTAGGED,
    interface::LinkType,
    judge::{self, Next, Work},
    reason::Reason,
    verdict::{Decision, Verdict},
};

use crate::{
    account,
    bytes::TcBytes,
    ingress::{SlotEnv, env, live, live_plain, malformed},
    maps::{CONTROL, SCRATCH, TC_SLOTS},
    refuse, slot,
    tables::SlotImage,
    tail_call,
};

const SCRATCH_PLACE: u32 = Hook::Egress as u32;

/// Bytes that are made linear, where the packet has them: more than all headers that are read.
const LINEAR_BYTES: u32 = 192;

/// The one place where a verdict becomes a tc action. To pass means "next program": others may be attached after
/// this one.
#[inline(always)]
const fn action(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Pass => TC_ACT_UNSPEC,
        Verdict::Drop | Verdict::Reject => TC_ACT_SHOT,
    }
}

/// Entry: passes live flows, hands the rest to the slot in force.
#[classifier]
pub fn fw_egress(context: TcContext) -> i32 {
    action(enter(&context))
}

#[inline(always)]
fn linearise(context: &TcContext) {
    let linear = context.data_end() - context.data();
    if linear < LINEAR_BYTES as usize && linear < context.len() as usize {
        let wanted = if context.len() < LINEAR_BYTES {
            context.len()
        } else {
            LINEAR_BYTES
        };
        // Where this fails the parser finds a packet cut short and drops it.
        let _ = context.pull_data(wanted);
    }
}

/// The tag that the interface will put in, which is not in the packet's bytes.
#[inline(always)]
fn accelerated_vlan(context: &TcContext) -> u16 {
    // SAFETY: fields of the program's own context.
    let (present, tag) = unsafe { ((*context.skb.skb).vlan_present, (*context.skb.skb).vlan_tci) };
    if present == 0 {
        UNTAGGED
    } else {
        tag as u16 & 0x0fff
    }
}

#[inline(always)]
fn interface_index(context: &TcContext) -> u32 {
    // SAFETY: a field of the program's own context.
    unsafe { (*context.skb.skb).ifindex }
}

#[inline(always)]
fn enter(context: &TcContext) -> Verdict {
    let Some(in_force) = slot::in_force(&CONTROL) else {
        return Verdict::Drop;
    };
    let index = interface_index(context);
    let interface = slot::interface(index);
    let link = if interface.link_type == LinkType::RawIp as u8 {
        LinkType::RawIp
    } else {
        LinkType::Ethernet
    };
    let bytes = TcBytes(context);
    // Before anything is made linear: the data of a segment on its way out lies outside, and copying it costs.
    if let Some(passed) = live_plain(&in_force, &bytes, &interface, Hook::Egress) {
        return passed;
    }
    linearise(context);
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
        && let Some(passed) = live(&in_force, headers, Hook::Egress)
    {
        account::count(headers, &passed, Hook::Egress);
        return passed.verdict;
    }
    let vlan = accelerated_vlan(context);
    if vlan != UNTAGGED {
        headers.vlan = vlan;
    }
    let decision = match progress {
        Ok(progress) => go_on(context, headers.policy_slot, progress),
        Err(reason) => malformed(&in_force, reason),
    };
    account::settle(headers, &decision, Hook::Egress, index, in_force.now_ticks);
    decision.verdict
}

/// Goes on in the next program, which finds the headers in the scratch place. Returns only where there is none.
#[inline(always)]
fn go_on(context: &TcContext, slot: u8, progress: Progress) -> Decision {
    match progress {
        Progress::Complete => tail_call::slot(context, &TC_SLOTS, slot),
        Progress::Extensions => tail_call::extensions(context, &TC_SLOTS),
    }
    Decision::by(Reason::NoPolicy)
}

/// Walks IPv6 extension headers and hands on to the slot in force.
#[classifier]
pub fn fw_out_extension(context: TcContext) -> i32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(SCRATCH_PLACE) else {
        return TC_ACT_SHOT;
    };
    // SAFETY: a per-CPU map value; no other program of this hook runs on this CPU meanwhile.
    let headers = unsafe { &mut *scratch };
    let Some(in_force) = slot::of_packet(&CONTROL, headers) else {
        return TC_ACT_SHOT;
    };
    let decision = match headers::parse_extensions(&TcBytes(&context), headers) {
        Ok(()) => go_on(&context, headers.policy_slot, Progress::Complete),
        Err(reason) => malformed(&in_force, reason),
    };
    account::settle(
        headers,
        &decision,
        Hook::Egress,
        interface_index(&context),
        in_force.now_ticks,
    );
    action(decision.verdict)
}

/// A slot's first program: everything that is not a live flow, up to the rules.
#[classifier]
pub fn fw_out_judge(context: TcContext) -> i32 {
    action(slot_step(&context, |env, headers, work| {
        judge::judge_by_flow(env, &TcBytes(&context), headers, Hook::Egress, work)
    }))
}

/// A slot's second program: what no policy may break, and bans.
#[classifier]
pub fn fw_out_guard(context: TcContext) -> i32 {
    action(slot_step(&context, |env, headers, work| {
        judge::judge_before_rules(env, headers, Hook::Egress, work)
    }))
}

/// A slot's third program: the rules.
#[classifier]
pub fn fw_out_rules(context: TcContext) -> i32 {
    action(slot_step(&context, |env, _, work| {
        judge::judge_by_rules(env, work)
    }))
}

/// Fourth program, of all slots: what the deciding rule means for the flow.
#[classifier]
pub fn fw_out_settle(context: TcContext) -> i32 {
    action(slot_step(&context, |env, headers, work| {
        judge::settle(env, headers, Hook::Egress, work)
    }))
}

/// Fifth program, of all slots: enters a flow.
#[classifier]
pub fn fw_out_enter(context: TcContext) -> i32 {
    action(slot_step(&context, |env, headers, work| {
        judge::enter(env, headers, Hook::Egress, work)
    }))
}

/// Runs one step of the verdict path and what follows from it.
#[inline(always)]
fn slot_step(context: &TcContext, step: impl FnOnce(&SlotEnv<'_>, &Headers, &mut Work) -> Next) -> Verdict {
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
            tail_call::before_rules(context, &TC_SLOTS, headers.policy_slot);
            Decision::by(Reason::NoPolicy)
        }
        Next::Rules => {
            tail_call::rules(context, &TC_SLOTS, headers.policy_slot);
            Decision::by(Reason::NoPolicy)
        }
        Next::Settle => {
            tail_call::settle(context, &TC_SLOTS);
            Decision::by(Reason::NoPolicy)
        }
        Next::Enter => {
            tail_call::enter(context, &TC_SLOTS);
            Decision::by(Reason::NoPolicy)
        }
        Next::Flow => {
            tail_call::slot(context, &TC_SLOTS, headers.policy_slot);
            Decision::by(Reason::NoPolicy)
        }
    };
    account::settle(
        headers,
        &decision,
        Hook::Egress,
        interface_index(context),
        in_force.now_ticks,
    );
    if matches!(decision.verdict, Verdict::Reject) {
        tail_call::refuse(context, &TC_SLOTS);
    }
    decision.verdict
}

/// Answers a rejected packet, so that the local socket learns of it at once.
#[classifier]
pub fn fw_out_reject(context: TcContext) -> i32 {
    refuse::egress(&context, SCRATCH_PLACE).unwrap_or(TC_ACT_SHOT)
}
