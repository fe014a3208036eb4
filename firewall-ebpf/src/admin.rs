//! Commands of the agent (see [`firewall_common::admin`]). Run by `BPF_PROG_TEST_RUN`, never attached.

use aya_ebpf::{
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns},
    macros::xdp,
    programs::XdpContext,
};
use firewall_common::{
    admin::{Operation, REQUEST_BYTES, Request, Response, code},
    flow::{Flow, Inserted, NewFlow, State, Table},
};

use crate::{account, clock, maps::CONTROL, tables::AssuredFlows};

/// Runs one command and returns one of [`code`].
#[xdp]
pub fn fw_admin(context: XdpContext) -> u32 {
    run(&context).unwrap_or(code::MALFORMED)
}

#[inline(always)]
fn run(context: &XdpContext) -> Option<u32> {
    let start = context.data();
    if start + REQUEST_BYTES > context.data_end() {
        return None;
    }
    // SAFETY: the bytes were just found to lie inside the packet; `Request` is any bytes, and packets start at an
    // address that is a multiple of eight (the headroom of `BPF_PROG_TEST_RUN` and of a page).
    let request = unsafe { &*(start as *const Request) };
    if request.operation == Operation::ReadClock as u32 {
        return read_clock(context);
    }
    if request.operation == Operation::InsertFlow as u32 {
        return insert(request);
    }
    None
}

#[inline(always)]
fn read_clock(context: &XdpContext) -> Option<u32> {
    // SAFETY: these helpers have no arguments.
    let response = unsafe {
        Response {
            jiffies: bpf_jiffies64(),
            monotonic_nanoseconds: bpf_ktime_get_ns(),
        }
    };
    let start = context.data();
    if start + size_of::<Response>() > context.data_end() {
        return None;
    }
    // SAFETY: the bytes were just found to lie inside the packet.
    unsafe { (start as *mut Response).write_unaligned(response) };
    Some(code::DONE)
}

#[inline(always)]
fn insert(request: &Request) -> Option<u32> {
    let control = CONTROL.get(0)?;
    let slot = control.slots.get(request.slot as usize)?;
    let now_ticks = clock::now_ticks(control);
    let flow = Flow {
        seen_ticks: now_ticks,
        state: State::from_number(request.state),
        flags: request.flags,
        rule: request.rule,
    };
    let work = account::work(0)?;
    work.new = NewFlow {
        key: request.key,
        flow: flow.pack(),
        epoch: request.epoch,
        expires_ticks: request.expires_ticks,
        local_acknowledgement: 0,
        opened_ticks: now_ticks,
    };
    let table = Table {
        buckets: &AssuredFlows,
        mask: control.flow_mask,
    };
    Some(
        match table.insert(
            &work.new,
            work.new.key.hash(&control.seed),
            &slot.timeouts_ticks,
            false,
        ) {
            Inserted::Done | Inserted::Exists => code::DONE,
            Inserted::Refused => code::FULL,
        },
    )
}
