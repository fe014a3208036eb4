//! What goes out, at tcx (clsact where there is no tcx).

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::{
        bpf_redirect, bpf_skb_change_head, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
    macros::classifier,
    maps::ProgramArray,
    programs::TcContext,
};
use firewall_common::{counters::Hook, image::UNTAGGED, judge, verdict::Verdict};

use crate::{
    bytes::TcBytes,
    capture,
    hook::HookContext,
    live,
    maps::{CONTROL, TC_SLOTS},
    slot, steps,
};

/// Bytes that are made linear, where the packet has them: more than all headers that are read.
const LINEAR_BYTES: u32 = 192;

impl HookContext for TcContext {
    type Action = i32;
    type Bytes<'a> = TcBytes<'a>;

    const HOOK: Hook = Hook::Egress;
    const DROP: i32 = TC_ACT_SHOT;
    const ANSWERS_RAW_IP: bool = true;

    #[inline(always)]
    fn bytes(&self) -> TcBytes<'_> {
        TcBytes(self)
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: a field of the program's own context.
        unsafe { (*self.skb.skb).ifindex }
    }

    #[inline(always)]
    fn programs() -> &'static ProgramArray {
        &TC_SLOTS
    }

    /// To pass means "next program": others may be attached after this one.
    #[inline(always)]
    fn action(verdict: Verdict) -> i32 {
        match verdict {
            Verdict::Pass => TC_ACT_UNSPEC,
            Verdict::Drop | Verdict::Reject => TC_ACT_SHOT,
        }
    }

    #[inline(always)]
    fn cut(&self, length: usize) -> Option<()> {
        if (self.len() as usize) < length {
            return None;
        }
        // SAFETY: the helper takes the program's own context and checks the length itself.
        (unsafe { bpf_skb_change_tail(self.skb.skb, length as u32, 0) } == 0).then_some(())
    }

    #[inline(always)]
    fn grow(&self, bytes: usize) -> Option<()> {
        // SAFETY: the helper takes the program's own context and checks the headroom itself.
        (unsafe { bpf_skb_change_head(self.skb.skb, bytes as u32, 0) } == 0).then_some(())
    }

    #[inline(always)]
    fn store<const N: usize>(&self, at: usize, bytes: &[u8; N]) -> Option<()> {
        // SAFETY: the helper takes the program's own context and a buffer of the length that is given; it checks the
        // packet's length itself.
        let failed =
            unsafe { bpf_skb_store_bytes(self.skb.skb, at as u32, bytes.as_ptr().cast(), N as u32, 0) };
        (failed == 0).then_some(())
    }

    #[inline(always)]
    unsafe fn copy(&self, room: *mut u8, bytes: u32) -> Option<()> {
        // SAFETY: the helper takes the program's own context and room that the caller vouches for; it checks the
        // packet's length itself.
        (unsafe { bpf_skb_load_bytes(self.skb.skb.cast(), 0, room.cast(), bytes) } == 0).then_some(())
    }

    #[inline(always)]
    fn tag(&self) -> (u16, u16) {
        // SAFETY: fields of the program's own context.
        let (present, protocol, tag) = unsafe {
            let skb = self.skb.skb;
            ((*skb).vlan_present, (*skb).vlan_proto, (*skb).vlan_tci)
        };
        if present == 0 {
            (0, 0)
        } else {
            (u16::from_be(protocol as u16), tag as u16)
        }
    }

    /// It comes in on the interface that it would have left by, so that the local socket fails at once.
    #[inline(always)]
    fn send_back(&self) -> i32 {
        // SAFETY: the helper takes an interface's index, the packet's own.
        let action = unsafe { bpf_redirect(self.interface(), u64::from(BPF_F_INGRESS)) };
        action as i32
    }
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

/// Entry: passes live flows, hands the rest to the slot in force.
///
/// Headers are made linear only where the packet has to be parsed in full: the data of a segment on its way out lies
/// outside, and copying it costs.
#[classifier]
pub fn fw_egress(context: TcContext) -> i32 {
    let Some(in_force) = slot::in_force(&CONTROL) else {
        return TC_ACT_SHOT;
    };
    let interface = slot::interface(context.interface());
    if let Some(action) = live::plain(&context, &in_force, &interface) {
        return action;
    }
    linearise(&context);
    live::parse(&context, &in_force, &interface, accelerated_vlan)
}

/// Walks IPv6 extension headers and hands on to the slot in force.
#[classifier]
pub fn fw_out_extension(context: TcContext) -> i32 {
    steps::extension(&context)
}

/// A slot's first program: everything that is not a live flow, up to the rules.
#[classifier]
pub fn fw_out_judge(context: TcContext) -> i32 {
    steps::step(&context, |env, headers, work| {
        judge::judge_by_flow(env, &context.bytes(), headers, Hook::Egress, work)
    })
}

/// A slot's second program: what no policy may break, and bans.
#[classifier]
pub fn fw_out_guard(context: TcContext) -> i32 {
    steps::step(&context, |env, headers, work| {
        judge::judge_before_rules(env, headers, Hook::Egress, work)
    })
}

/// A slot's third program: what the rules are asked.
#[classifier]
pub fn fw_out_ask(context: TcContext) -> i32 {
    steps::step(&context, |env, headers, work| {
        judge::ask(env, headers, Hook::Egress, work)
    })
}

/// A slot's fourth program: the rules.
#[classifier]
pub fn fw_out_rules(context: TcContext) -> i32 {
    steps::step(&context, |env, _, work| judge::judge_by_rules(env, work))
}

/// Fifth program, of all slots: what the deciding rule means for the flow.
#[classifier]
pub fn fw_out_settle(context: TcContext) -> i32 {
    steps::step(&context, |env, headers, work| {
        judge::settle(env, headers, Hook::Egress, work)
    })
}

/// Sixth program, of all slots: enters a flow.
#[classifier]
pub fn fw_out_enter(context: TcContext) -> i32 {
    steps::step(&context, |env, headers, work| {
        judge::enter(env, headers, Hook::Egress, work)
    })
}

/// Answers a rejected packet: it is turned into its refusal and comes back in.
#[classifier]
pub fn fw_out_reject(context: TcContext) -> i32 {
    steps::reject(&context)
}

/// Captures a dropped packet, and answers it where it is rejected.
#[classifier]
pub fn fw_out_capture(context: TcContext) -> i32 {
    capture::capture(&context)
}
