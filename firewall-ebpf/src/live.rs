//! The entries' work, for either hook: to pass packets of live flows, and to hand everything else on.

use firewall_common::{
    address::Family,
    bytes::PacketBytes,
    cell::Mode,
    control::slot_flags,
    counters::Hook,
    flow::Table,
    headers::{self, Headers, Progress},
    image::UNTAGGED,
    interface::{InterfaceRecord, LinkType},
    judge::{self, Assured, LiveFlows},
    plain::{Plain, PlainRecord},
    prefix_set::Entry,
    reason::Reason,
    tables::SlowTables,
    verdict::{Decision, Verdict},
};

use crate::{
    account, capture,
    hook::HookContext,
    maps::{PLAIN, SCRATCH},
    slot::InForce,
    steps::{env, go_on},
    tables::{AssuredFlows, KernelTables},
    tail_call,
};

/// The short ways of a plain packet. One of a live flow passes and is counted, and nothing of it is kept; what has come
/// in without one goes on in the slot's program for it. `None` where it is neither, or there is no such program.
#[inline(always)]
pub(crate) fn plain<C: HookContext>(
    context: &C,
    in_force: &InForce<'_>,
    interface: &InterfaceRecord,
) -> Option<C::Action> {
    if interface.link_type != LinkType::Ethernet as u8 || !matches!(in_force.mode, Mode::Normal) {
        return None;
    }
    let bytes = context.bytes();
    let packet = Plain::read(&bytes, C::HOOK)?;
    let hash = packet.key.hash(&in_force.control.seed);
    match flows(in_force).plain(&packet, hash, C::HOOK) {
        Assured::Live(rule) => {
            account::count_flow(rule, interface.slot, C::HOOK, bytes.length() as u32);
            return Some(C::action(Verdict::Pass));
        }
        Assured::Unknown if matches!(C::HOOK, Hook::Ingress) => {
            let record = PLAIN.get_ptr_mut(0)?;
            let length = bytes.length() as u32;
            let mut root = list_root(in_force, &packet);
            // The look-up for IPv6 is too long for the entry.
            if root != Entry::NONE && packet.key.family == Family::V4 as u8 {
                match judge::listed(&env(in_force, &()), &packet, hash, root) {
                    Some(true) => {
                        let decision = Decision::by(Reason::Listed);
                        if !account::makes_event(&decision, C::HOOK, in_force.now_ticks) {
                            account::count_all(length, interface.slot, &decision, C::HOOK);
                            capture::offer(context, in_force, &decision);
                            return Some(C::action(decision.verdict));
                        }
                    }
                    Some(false) => root = Entry::NONE,
                    None => {}
                }
            }
            // SAFETY: a per-CPU map value; no other program of this hook runs on this CPU meanwhile.
            unsafe {
                *record = PlainRecord::new(&packet, hash, length, interface.slot, in_force.number, root);
            };
            tail_call::first(context, C::programs(), in_force.number);
        }
        Assured::Unknown | Assured::Held => {}
    }
    None
}

/// Where the look-up in the block lists begins, if there are any: the processor fetches it while it waits for the filter
/// of flows.
#[inline(always)]
fn list_root(in_force: &InForce<'_>, packet: &Plain) -> Entry {
    if in_force.slot.flags & slot_flags::LISTS == 0 {
        return Entry::NONE;
    }
    KernelTables.list_root(in_force.number, packet.key.address_family(), packet.key.remote)
}

/// Judges a packet that the short ways have not decided, or goes on in another program. `vlan` tells of a tag that is
/// not in its bytes.
#[inline(always)]
pub(crate) fn parse<C: HookContext>(
    context: &C,
    in_force: &InForce<'_>,
    interface: &InterfaceRecord,
    vlan: impl FnOnce(&C) -> u16,
) -> C::Action {
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
        && let Some(passed) = parsed(in_force, headers, C::HOOK)
    {
        account::count(headers.frame_bytes, headers.interface_slot, &passed, C::HOOK);
        return C::action(passed.verdict);
    }
    let vlan = vlan(context);
    if vlan != UNTAGGED {
        headers.vlan = vlan;
    }
    let decision = match progress {
        Ok(progress) => go_on(context, headers.policy_slot, progress),
        Err(reason) => malformed(in_force, reason),
    };
    account::settle(
        headers,
        &decision,
        C::HOOK,
        context.interface(),
        in_force.now_ticks,
    );
    capture::offer(context, in_force, &decision);
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

#[inline(always)]
fn parsed(in_force: &InForce<'_>, headers: &Headers, hook: Hook) -> Option<Decision> {
    if !matches!(in_force.mode, Mode::Normal) {
        return None;
    }
    judge::live(&flows(in_force), headers, hook)
}
