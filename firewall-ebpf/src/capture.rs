//! Dropped packets for whoever looks at them, in a program of its own: a capture, a shadow run, or both.
//!
//! While nobody does, a dropped packet costs one look at the control record more, and any other nothing. A look ends at
//! its time, agent alive or dead.

use aya_ebpf::{
    helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_ns},
    maps::RingBuf,
};
use firewall_common::{
    bytes::PacketBytes,
    capture::{
        CaptureCounts, CaptureSettings, CapturedHead, CapturedPacket, Cause, SNAP_BYTES, Viewer, is_sampled,
    },
    control::is_capturing,
    opaque::masked,
    rehearsal::is_dry,
    verdict::{Decision, Verdict},
};

use crate::{
    account, clock,
    hook::HookContext,
    maps::{CAPTURE, CAPTURE_COUNTS, CAPTURE_ROOM, CAPTURED, CONTROL, SAMPLED},
    slot::{self, InForce},
    tables::take_token,
    tail_call,
};

/// Hands a dropped packet to the program that captures it, if anybody looks. That program ends what is left to be done.
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
    show(context, Viewer::Capture, &CAPTURED, cause, interface);
    show(context, Viewer::Shadow, &SAMPLED, cause, interface);
    if cause.is_reject() {
        tail_call::refuse(context, C::programs());
    }
    C::DROP
}

/// Shows the packet to a viewer that looks now and wants it: the one that has the program run may be the other.
#[inline(always)]
fn show<C: HookContext>(context: &C, viewer: Viewer, ring: &RingBuf, cause: Cause, interface: u32) {
    // One check after the other: kernel 6.1 refuses what LLVM makes of a time that may be none, a copy of a register that
    // was never written.
    let Some(control) = CONTROL.get(0) else {
        return;
    };
    let now_ticks = clock::now_ticks(control);
    // SAFETY: lies in the control record; the agent may write it at any time.
    let until = unsafe { core::ptr::read_volatile(&raw const control.viewer_until_ticks[viewer as usize]) };
    if !is_capturing(until, now_ticks) {
        return;
    }
    let Some(settings) = CAPTURE.get_ptr_mut(viewer as u32) else {
        return;
    };
    // SAFETY: a map value, checked for null.
    if unsafe { (*settings).takes(&cause, C::HOOK, interface) } {
        hand_on(context, viewer, ring, settings, now_ticks, cause, interface);
    }
}

#[inline(always)]
fn hand_on<C: HookContext>(
    context: &C,
    viewer: Viewer,
    ring: &RingBuf,
    settings: *mut CaptureSettings,
    now_ticks: u32,
    cause: Cause,
    interface: u32,
) {
    let Some(counts) = CAPTURE_COUNTS.get_ptr_mut(viewer as u32) else {
        return;
    };
    // SAFETY: a per-CPU map value, checked for null.
    let counts: &mut CaptureCounts = unsafe { &mut *counts };
    // SAFETY: a map value, checked for null by the caller; the helper has no arguments.
    if !unsafe { is_sampled((*settings).every, bpf_get_prandom_u32()) } {
        counts.skipped += 1;
    } else if !take(settings, now_ticks) {
        counts.limited += 1;
    } else if copy(context, ring, settings, cause, interface).is_some() {
        counts.captured += 1;
    } else {
        counts.lost += 1;
    }
}

/// Takes one of the packets that are allowed. Two CPUs may count one packet only; the bounds are not exact.
#[inline(always)]
fn take(settings: *mut CaptureSettings, now_ticks: u32) -> bool {
    // SAFETY: a map value, checked for null by the caller.
    unsafe {
        let left = core::ptr::read_volatile(&raw const (*settings).left);
        if left == 0 || !take_token(&raw mut (*settings).window, (*settings).per_second, now_ticks) {
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
    ring: &RingBuf,
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
        ring.output::<[u8]>(record, 0).ok()
    }
}
