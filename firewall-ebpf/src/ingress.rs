//! What comes in, at XDP.

use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_load_bytes},
    macros::xdp,
    maps::ProgramArray,
    programs::XdpContext,
};
use firewall_common::{bytes::PacketBytes, counters::Hook, image::UNTAGGED, judge, verdict::Verdict};

use crate::{
    bytes::XdpBytes,
    capture,
    hook::HookContext,
    live,
    maps::{CONTROL, XDP_SLOTS},
    slot, steps, tail_call,
};

impl HookContext for XdpContext {
    type Action = u32;
    type Bytes<'a> = XdpBytes<'a>;

    const HOOK: Hook = Hook::Ingress;
    const DROP: u32 = xdp_action::XDP_DROP;
    // A device without link-level headers sends nothing back.
    const ANSWERS_RAW_IP: bool = false;

    #[inline(always)]
    fn bytes(&self) -> XdpBytes<'_> {
        XdpBytes(self)
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        self.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn programs() -> &'static ProgramArray {
        &XDP_SLOTS
    }

    #[inline(always)]
    fn action(verdict: Verdict) -> u32 {
        match verdict {
            Verdict::Pass => xdp_action::XDP_PASS,
            Verdict::Drop | Verdict::Reject => xdp_action::XDP_DROP,
        }
    }

    #[inline(always)]
    fn cut(&self, length: usize) -> Option<()> {
        let delta = length as i32 - XdpBytes(self).full_length() as i32;
        if delta > 0 {
            return None;
        }
        // SAFETY: the helper takes the program's own context and checks the length itself.
        (unsafe { bpf_xdp_adjust_tail(self.ctx, delta) } == 0).then_some(())
    }

    #[inline(always)]
    fn grow(&self, bytes: usize) -> Option<()> {
        // SAFETY: the helper takes the program's own context and checks the headroom itself.
        (unsafe { bpf_xdp_adjust_head(self.ctx, -(bytes as i32)) } == 0).then_some(())
    }

    #[inline(always)]
    fn store<const N: usize>(&self, at: usize, bytes: &[u8; N]) -> Option<()> {
        let start = self.data() + at;
        if start + N > self.data_end() {
            return None;
        }
        // SAFETY: the N bytes at `start` were just found to lie inside the frame.
        unsafe { *(start as *mut [u8; N]) = *bytes };
        Some(())
    }

    #[inline(always)]
    unsafe fn copy(&self, room: *mut u8, bytes: u32) -> Option<()> {
        // SAFETY: the helper takes the program's own context and room that the caller vouches for; it checks the
        // packet's length itself.
        (unsafe { bpf_xdp_load_bytes(self.ctx, 0, room.cast(), bytes) } == 0).then_some(())
    }

    #[inline(always)]
    fn tag(&self) -> (u16, u16) {
        (0, 0)
    }

    #[inline(always)]
    fn send_back(&self) -> u32 {
        xdp_action::XDP_TX
    }
}

/// Entry: passes plain packets of live flows, hands other plain packets to the slot in force, and the rest to the
/// parser.
#[xdp(frags)]
pub fn fw_ingress(context: XdpContext) -> u32 {
    let Some(in_force) = slot::in_force(&CONTROL) else {
        return xdp_action::XDP_DROP;
    };
    let interface = slot::interface(context.interface());
    if let Some(action) = live::plain(&context, &in_force, &interface) {
        return action;
    }
    tail_call::parse(&context, &XDP_SLOTS);
    xdp_action::XDP_DROP
}

/// Parses, passes live flows, and hands the rest to the slot in force.
#[xdp(frags)]
pub fn fw_in_parse(context: XdpContext) -> u32 {
    let Some(in_force) = slot::in_force(&CONTROL) else {
        return xdp_action::XDP_DROP;
    };
    let interface = slot::interface(context.interface());
    live::parse(&context, &in_force, &interface, |_| UNTAGGED)
}

/// A slot's program for plain packets of no assured flow.
#[xdp(frags)]
pub fn fw_in_first(context: XdpContext) -> u32 {
    steps::first(&context)
}

/// Walks IPv6 extension headers and hands on to the slot in force.
#[xdp(frags)]
pub fn fw_in_extension(context: XdpContext) -> u32 {
    steps::extension(&context)
}

/// A slot's first program: everything that is not a live flow, up to the rules.
#[xdp(frags)]
pub fn fw_in_judge(context: XdpContext) -> u32 {
    steps::step(&context, |env, headers, work| {
        judge::judge_by_flow(env, &context.bytes(), headers, Hook::Ingress, work)
    })
}

/// A slot's second program: what no policy may break, and bans.
#[xdp(frags)]
pub fn fw_in_guard(context: XdpContext) -> u32 {
    steps::step(&context, |env, headers, work| {
        judge::judge_before_rules(env, headers, Hook::Ingress, work)
    })
}

/// A slot's third program: what the rules are asked.
#[xdp(frags)]
pub fn fw_in_ask(context: XdpContext) -> u32 {
    steps::step(&context, |env, headers, work| {
        judge::ask(env, headers, Hook::Ingress, work)
    })
}

/// A slot's fourth program: the rules.
#[xdp(frags)]
pub fn fw_in_rules(context: XdpContext) -> u32 {
    steps::step(&context, |env, _, work| judge::judge_by_rules(env, work))
}

/// Fifth program, of all slots: what the deciding rule means for the flow.
#[xdp(frags)]
pub fn fw_in_settle(context: XdpContext) -> u32 {
    steps::step(&context, |env, headers, work| {
        judge::settle(env, headers, Hook::Ingress, work)
    })
}

/// Sixth program, of all slots: enters a flow.
#[xdp(frags)]
pub fn fw_in_enter(context: XdpContext) -> u32 {
    steps::step(&context, |env, headers, work| {
        judge::enter(env, headers, Hook::Ingress, work)
    })
}

/// Answers a rejected packet: the frame is rewritten and sent back where it came from.
#[xdp(frags)]
pub fn fw_in_reject(context: XdpContext) -> u32 {
    steps::reject(&context)
}

/// Captures a dropped packet, and answers it where it is rejected.
#[xdp(frags)]
pub fn fw_in_capture(context: XdpContext) -> u32 {
    capture::capture(&context)
}
