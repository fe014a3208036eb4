//! Counters and events of one packet.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use firewall_common::{
    counters::{self, Counter, Hook, Outcome},
    event::REASON_EVENTS_PER_SECOND,
    headers::Headers,
    judge::{self, Work},
    reason::Reason,
    rehearsal::{self, is_dry, is_told},
    tables::SlowTables,
    verdict::{Decision, NO_RULE, Verdict},
};

use crate::{
    maps::{INTERFACE_COUNTERS, LOG_WINDOWS, REASON_COUNTERS, RULE_COUNTERS, TOLD, WORK},
    tables::{KernelTables, has_token, log_window},
};

/// Room beside the stack, for this hook on this CPU.
#[inline(always)]
pub(crate) fn work(place: u32) -> Option<&'static mut Work> {
    // SAFETY: a per-CPU map value; no other program of this hook runs on this CPU meanwhile.
    WORK.get_ptr_mut(place).map(|work| unsafe { &mut *work })
}

#[inline(always)]
fn add(counter: Option<*mut Counter>, bytes: u32) {
    if let Some(counter) = counter {
        // SAFETY: a per-CPU map value, checked for null.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += u64::from(bytes);
        }
    }
}

/// Tells a decision to whoever rehearses; true where it is not to be counted. Each packet is counted once, and its
/// decision told there.
#[inline(always)]
fn tell(decision: &Decision) -> bool {
    if !is_told() {
        return false;
    }
    if let Some(told) = TOLD.get_ptr_mut(0) {
        // SAFETY: a map value, checked for null; written in one go.
        unsafe { core::ptr::write_volatile(told, rehearsal::told(decision)) };
    }
    is_dry()
}

/// Counts a packet that passes in a flow: its rule and its interface.
#[inline(always)]
pub(crate) fn count_flow(rule: u16, interface_slot: u8, hook: Hook, bytes: u32) {
    if tell(&Decision::of_flow(rule)) {
        return;
    }
    if let Some(counter) = RULE_COUNTERS.get_ptr_mut(u32::from(rule)) {
        // SAFETY: a per-CPU map value, checked for null.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += u64::from(bytes);
        }
    }
    let place = counters::interface_index(interface_slot, hook, Outcome::Passed);
    add(INTERFACE_COUNTERS.get_ptr_mut(place), bytes);
}

/// Counts a packet: its rule and its interface.
#[inline(always)]
pub(crate) fn count(bytes: u32, interface_slot: u8, decision: &Decision, hook: Hook) {
    if tell(decision) {
        return;
    }
    if decision.rule != NO_RULE
        && let Some(counter) = RULE_COUNTERS.get_ptr_mut(u32::from(decision.rule))
    {
        // SAFETY: a per-CPU map value, checked for null.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += u64::from(bytes);
            if !matches!(decision.reason, Reason::Flow) {
                (*counter).matches += 1;
            }
        }
    }
    let outcome = match decision.verdict {
        Verdict::Pass => Outcome::Passed,
        Verdict::Drop => Outcome::Dropped,
        Verdict::Reject => Outcome::Rejected,
    };
    let place = counters::interface_index(interface_slot, hook, outcome);
    add(INTERFACE_COUNTERS.get_ptr_mut(place), bytes);
}

/// Counts a packet: its rule, its interface and its reason.
#[inline(always)]
pub(crate) fn count_all(bytes: u32, interface_slot: u8, decision: &Decision, hook: Hook) {
    count(bytes, interface_slot, decision, hook);
    if is_by_reason(decision) && !is_dry() {
        let place = counters::reason_index(hook, decision.reason as u8);
        add(REASON_COUNTERS.get_ptr_mut(place), bytes);
    }
}

/// Whether a reason with a counter of its own decided.
#[inline(always)]
const fn is_by_reason(decision: &Decision) -> bool {
    !matches!(decision.reason, Reason::Flow | Reason::Rule)
}

/// Events that packets decided like this may cause in each second; zero is none.
#[inline(always)]
const fn events_per_second(decision: &Decision) -> u16 {
    if decision.log_per_second == 0 && is_by_reason(decision) && !matches!(decision.verdict, Verdict::Pass) {
        REASON_EVENTS_PER_SECOND
    } else {
        decision.log_per_second
    }
}

/// Whether a packet decided like this would make an event now.
#[inline(always)]
pub(crate) fn makes_event(decision: &Decision, hook: Hook, now_ticks: u32) -> bool {
    let per_second = events_per_second(decision);
    let place = log_window(decision.rule, hook, decision.reason as u8);
    per_second != 0
        && LOG_WINDOWS
            .get_ptr_mut(place)
            .is_some_and(|window| has_token(window, per_second.into(), now_ticks))
}

/// Counts a packet that the live path has not passed, and logs it where its rule or reason wants that.
#[inline(always)]
pub(crate) fn settle(headers: &Headers, decision: &Decision, hook: Hook, interface: u32, now_ticks: u32) {
    count_all(headers.frame_bytes, headers.interface_slot, decision, hook);
    #[cfg(feature = "log")]
    trace(
        interface,
        decision.verdict as u32,
        decision.reason as u32,
        u32::from(decision.rule),
    );
    if !makes_event(decision, hook, now_ticks) || is_dry() {
        return;
    }
    // SAFETY: the helper has no arguments.
    let time = unsafe { bpf_ktime_get_ns() };
    let Some(work) = work(hook as u32) else { return };
    work.event = judge::event(headers, decision, hook, interface, time);
    KernelTables.log(&work.event, events_per_second(decision), now_ticks);
}

/// Writes a verdict to the log of `aya-log`: a call, since its many values would push packet pointers off the registers.
#[cfg(feature = "log")]
#[inline(never)]
fn trace(interface: u32, verdict: u32, reason: u32, rule: u32) {
    aya_log_ebpf::debug!(
        (),
        "interface {} verdict {} reason {} rule {}",
        interface,
        verdict,
        reason,
        rule
    );
}
