//! Dropped packets for whoever captures them, in a program of its own.
//!
//! While nobody does, a dropped packet costs one look at the control record more, and any other nothing. A capture ends
//! at its time, agent alive or dead.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use firewall_common::{
    bytes::PacketBytes,
    capture::{CaptureCounts, CaptureSettings, CapturedHead, CapturedPacket, Cause, SNAP_BYTES},
    control::is_capturing,
    opaque::masked,
    rehearsal::is_dry,
    verdict::{Decision, Verdict},
};

use crate::{
    account, clock,
    hook::HookContext,
    maps::{CAPTURE, CAPTURE_COUNTS, CAPTURE_ROOM, CAPTURED, CONTROL},
    slot::{self, InForce},
    tables::take_token,
    tail_call,
};

/// Hands a dropped packet to the program that captures it, if one is on. That program ends what is left to be done.
#[inline(always)]
pub(crate) fn offer<C: HookContext>(context: &C, in_force: &InForce<'_>, decision: &Decision) {
    if is_dry() {
        return;
    }
    // SAFETY: lies in the control record; the agent may write it at any time.
    let until = unsafe { core::ptr::read_volatile(&raw const in_force.control.capture_until_ticks) };
    if !is_capturing(until, in_force.now_ticks) || matches!(decision.verdict, Verdict::Pass) {
        return;
    }
    if let Some(work) = account::work(C::HOOK as u32) {
        work.cause = Cause::of(decision);
        tail_call::capture(context, C::programs());
    }
}

/// Captures a packet that was dropped and counted, and goes on to the answer of a rejected one.
#[inline(always)]
pub(crate) fn capture<C: HookContext>(context: &C) -> C::Action {
    let Some(work) = account::work(C::HOOK as u32) else {
        return C::DROP;
    };
    let cause = work.cause;
    let interface = context.interface();
    if let Some(settings) = wanted::<C>(&cause, interface) {
        hand_on(context, settings, cause, interface);
    }
    if cause.is_reject() {
        tail_call::refuse(context, C::programs());
    }
    C::DROP
}

/// The settings of the capture where they want a packet that was dropped like this.
#[inline(always)]
fn wanted<C: HookContext>(cause: &Cause, interface: u32) -> Option<*mut CaptureSettings> {
    let settings = CAPTURE.get_ptr_mut(0)?;
    // SAFETY: a map value, checked for null.
    unsafe { (*settings).takes(cause, C::HOOK, interface) }.then_some(settings)
}

#[inline(always)]
fn hand_on<C: HookContext>(context: &C, settings: *mut CaptureSettings, cause: Cause, interface: u32) {
    let Some(counts) = CAPTURE_COUNTS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a per-CPU map value, checked for null.
    let counts: &mut CaptureCounts = unsafe { &mut *counts };
    if !take(settings) {
        counts.limited += 1;
    } else if copy(context, settings, cause, interface).is_some() {
        counts.captured += 1;
    } else {
        counts.lost += 1;
    }
}

/// Takes one of the packets that are allowed. Two CPUs may count one packet only; the bounds are not exact.
#[inline(always)]
fn take(settings: *mut CaptureSettings) -> bool {
    let Some(control) = CONTROL.get(0) else {
        return false;
    };
    // SAFETY: a map value, checked for null by the caller.
    unsafe {
        let left = core::ptr::read_volatile(&raw const (*settings).left);
        if left == 0
            || !take_token(
                &raw mut (*settings).window,
                (*settings).per_second,
                clock::now_ticks(control),
            )
        {
            return false;
        }
        core::ptr::write_volatile(&raw mut (*settings).left, left - 1);
    }
    true
}

/// Copies the packet's first bytes into the ring buffer.
#[inline(always)]
fn copy<C: HookContext>(
    context: &C,
    settings: *mut CaptureSettings,
    cause: Cause,
    interface: u32,
) -> Option<()> {
    let room: *mut CapturedPacket = CAPTURE_ROOM.get_ptr_mut(C::HOOK as u32)?;
    let length = context.bytes().full_length();
    // SAFETY: a map value, checked for null by the caller.
    let snap = unsafe { (*settings).snap_bytes } as usize;
    let wanted = if length < snap { length } else { snap };
    if wanted == 0 {
        return None;
    }
    // A number from 1 to `SNAP_BYTES`, as the verifier has to see it.
    let bytes = masked::<{ SNAP_BYTES - 1 }>(wanted - 1) + 1;
    let (tag_protocol, tag) = context.tag();
    let head = CapturedHead {
        // SAFETY: the helper has no arguments.
        time_nanoseconds: unsafe { bpf_ktime_get_ns() },
        interface,
        length: length as u32,
        cause,
        captured: bytes as u16,
        tag_protocol,
        tag,
        hook: C::HOOK as u8,
        link_type: slot::interface(interface).link_type,
        reserved: [0; 4],
    };
    // SAFETY: a per-CPU map value, checked for null, with room for so many bytes; no other program of this hook runs on
    // this CPU meanwhile.
    unsafe {
        (*room).head = head;
        context.copy((&raw mut (*room).bytes).cast(), bytes as u32)?;
        let record = core::slice::from_raw_parts(room.cast::<u8>(), size_of::<CapturedHead>() + bytes);
        CAPTURED.output::<[u8]>(record, 0).ok()
    }
}
