//! The programs behind the entries, for either hook.

use firewall_common::{
    cell::Mode,
    flow::Table,
    headers::{self, Headers, Progress},
    judge::{self, Env, Next, Work},
    reason::Reason,
    rehearsal::is_dry,
    verdict::{Decision, Verdict},
};

use crate::{
    account, capture,
    hook::HookContext,
    image::SlotImage,
    live::malformed,
    maps::{CONTROL, PLAIN, SCRATCH},
    refuse,
    slot::{self, InForce},
    tables::{AssuredFlows, HalfFlows, KernelTables},
    tail_call,
};

/// What a slot program judges with.
pub(crate) type SlotEnv<'a> = Env<'a, SlotImage, AssuredFlows, HalfFlows, KernelTables>;

#[inline(always)]
pub(crate) const fn env<'a, I>(
    in_force: &InForce<'a>,
    image: &'a I,
) -> Env<'a, I, AssuredFlows, HalfFlows, KernelTables> {
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
        slot_number: in_force.number,
        seed: &in_force.control.seed,
        mode: in_force.mode,
        now_ticks: in_force.now_ticks,
        has_bans: in_force.control.bans != 0,
    }
}

/// Goes on in the next program, which finds the headers in the scratch place. Returns only where there is none.
#[inline(always)]
pub(crate) fn go_on<C: HookContext>(context: &C, slot: u8, progress: Progress) -> Decision {
    match progress {
        Progress::Complete => tail_call::slot(context, C::programs(), slot),
        Progress::Extensions => tail_call::extensions(context, C::programs()),
    }
    Decision::by(Reason::NoPolicy)
}

/// Walks IPv6 extension headers and hands on to the slot in force.
#[inline(always)]
pub(crate) fn extension<C: HookContext>(context: &C) -> C::Action {
    let Some(scratch) = SCRATCH.get_ptr_mut(C::HOOK as u32) else {
        return C::DROP;
    };
    // SAFETY: a per-CPU map value; no other program of this hook runs on this CPU meanwhile.
    let headers = unsafe { &mut *scratch };
    let Some(in_force) = slot::of_headers(&CONTROL, headers) else {
        return C::DROP;
    };
    let decision = match headers::parse_extensions(&context.bytes(), headers) {
        Ok(()) => go_on(context, headers.policy_slot, Progress::Complete),
        Err(reason) => malformed(&in_force, reason),
    };
    account::settle(
        headers,
        &decision,
        C::HOOK,
        context.interface(),
        in_force.now_ticks,
    );
    capture::offer(context, &in_force, &decision);
    C::action(decision.verdict)
}

/// Decides on a plain packet, or goes on in the parser.
#[inline(always)]
pub(crate) fn first<C: HookContext>(context: &C) -> C::Action {
    let Some(packet) = PLAIN.get(0) else {
        return C::DROP;
    };
    let Some(in_force) = slot::of_packet(&CONTROL, packet.policy_slot, Mode::Normal) else {
        return C::DROP;
    };
    let Some(work) = account::work(C::HOOK as u32) else {
        return C::DROP;
    };
    let image = SlotImage {
        forgetting: &raw mut work.forgetting,
    };
    if let Some(decision) = judge::first(&env(&in_force, &image), packet, work)
        && !account::makes_event(&decision, C::HOOK, in_force.now_ticks)
    {
        account::count_all(packet.frame_bytes, packet.interface_slot, &decision, C::HOOK);
        capture::offer(context, &in_force, &decision);
        return C::action(decision.verdict);
    }
    tail_call::parse(context, C::programs());
    C::DROP
}

/// Runs one step of the verdict path and what follows from it.
#[inline(always)]
pub(crate) fn step<C: HookContext>(
    context: &C,
    step: impl FnOnce(&SlotEnv<'_>, &Headers, &mut Work) -> Next,
) -> C::Action {
    let Some(headers) = SCRATCH.get(C::HOOK as u32) else {
        return C::DROP;
    };
    let Some(in_force) = slot::of_headers(&CONTROL, headers) else {
        return C::DROP;
    };
    let Some(work) = account::work(C::HOOK as u32) else {
        return C::DROP;
    };
    let image = SlotImage {
        forgetting: &raw mut work.forgetting,
    };
    let decision = match step(&env(&in_force, &image), headers, work) {
        Next::Decided(decision) => decision,
        next => {
            follow(context, headers.policy_slot, next);
            Decision::by(Reason::NoPolicy)
        }
    };
    account::settle(
        headers,
        &decision,
        C::HOOK,
        context.interface(),
        in_force.now_ticks,
    );
    capture::offer(context, &in_force, &decision);
    if matches!(decision.verdict, Verdict::Reject) && !is_dry() {
        tail_call::refuse(context, C::programs());
    }
    C::action(decision.verdict)
}

/// Goes on in the next program. Returns only where there is none.
#[inline(always)]
fn follow<C: HookContext>(context: &C, slot: u8, next: Next) {
    match next {
        Next::Decided(_) => {}
        Next::BeforeRules => tail_call::before_rules(context, C::programs(), slot),
        Next::Ask => tail_call::ask(context, C::programs(), slot),
        Next::Rules => tail_call::rules(context, C::programs(), slot),
        Next::Settle => tail_call::settle(context, C::programs()),
        Next::Enter => tail_call::enter(context, C::programs()),
        Next::Flow => tail_call::slot(context, C::programs(), slot),
    }
}

/// Answers a rejected packet.
#[inline(always)]
pub(crate) fn reject<C: HookContext>(context: &C) -> C::Action {
    refuse::answer(context).unwrap_or(C::DROP)
}
