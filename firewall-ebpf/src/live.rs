//! The entries' work, for either hook: to pass packets of live flows, and to hand everything else on.

use firewall_common::{
    bytes::PacketBytes,
    cell::Mode,
    counters::Hook,
    flow::Table,
    headers::{self, Headers, Progress},
    image::UNTAGGED,
    interface::{InterfaceRecord, LinkType},
    judge::{self, LiveFlows},
    plain::Plain,
    reason::Reason,
    verdict::{Decision, Verdict},
};

use crate::{
    account,
    hook::HookContext,
    maps::{CONTROL, SCRATCH},
    slot::{self, InForce},
    steps::go_on,
    tables::AssuredFlows,
};

/// Judges a packet, or goes on in another program.
///
/// `prepare` is called where the packet is to be parsed in full; `vlan` tells of a tag that is not in its bytes.
#[inline(always)]
pub(crate) fn enter<C: HookContext>(
    context: &C,
    prepare: impl FnOnce(&C),
    vlan: impl FnOnce(&C) -> u16,
) -> C::Action {
    let Some(in_force) = slot::in_force(&CONTROL) else {
        return C::DROP;
    };
    let index = context.interface();
    let interface = slot::interface(index);
    if let Some(verdict) = plain(&in_force, &context.bytes(), &interface, C::HOOK) {
        return C::action(verdict);
    }
    prepare(context);
    let bytes = context.bytes();
    // In the map, not on the stack: there is not enough of it, and the verifier does not track the map's bytes.
    let Some(scratch) = SCRATCH.get_ptr_mut(C::HOOK as u32) else {
        return C::DROP;
    };
    // SAFETY: a per-CPU map value; no other program of this hook runs on this CPU meanwhile.
    let headers = unsafe { &mut *scratch };
    headers.clear(bytes.length() as u32);
    headers.interface_slot = interface.slot;
    headers.policy_slot = in_force.number;
    headers.mode = in_force.mode as u8;
    let link = if interface.link_type == LinkType::RawIp as u8 {
        LinkType::RawIp
    } else {
        LinkType::Ethernet
    };
    let progress = headers::parse_into(&bytes, link, headers);
    if progress == Ok(Progress::Complete)
        && let Some(passed) = parsed(&in_force, headers, C::HOOK)
    {
        account::count(headers, &passed, C::HOOK);
        return C::action(passed.verdict);
    }
    let vlan = vlan(context);
    if vlan != UNTAGGED {
        headers.vlan = vlan;
    }
    let decision = match progress {
        Ok(progress) => go_on(context, headers.policy_slot, progress),
        Err(reason) => malformed(&in_force, reason),
    };
    account::settle(headers, &decision, C::HOOK, index, in_force.now_ticks);
    C::action(decision.verdict)
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
const fn flows<'a>(in_force: &InForce<'a>) -> LiveFlows<'a, AssuredFlows> {
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
fn plain<B: PacketBytes>(
    in_force: &InForce<'_>,
    bytes: &B,
    interface: &InterfaceRecord,
    hook: Hook,
) -> Option<Verdict> {
    if interface.link_type != LinkType::Ethernet as u8 || !matches!(in_force.mode, Mode::Normal) {
        return None;
    }
    let rule = flows(in_force).plain(&Plain::read(bytes, hook)?, hook)?;
    account::count_flow(rule, interface.slot, hook, bytes.length() as u32);
    Some(Verdict::Pass)
}

#[inline(always)]
fn parsed(in_force: &InForce<'_>, headers: &Headers, hook: Hook) -> Option<Decision> {
    if !matches!(in_force.mode, Mode::Normal) {
        return None;
    }
    judge::live(&flows(in_force), headers, hook)
}
