//! What makes and takes live frames: a generator that varies the source of a prepared frame and sends it out of an
//! interface, and the least that a receiver can do.

use aya_ebpf::{
    bindings::xdp_action,
    helpers::bpf_redirect,
    macros::{map, xdp},
    maps::{Array, PerCpuArray},
    programs::XdpContext,
};

use crate::shim::{next, put};

/// Index of the interface that frames are sent out of.
#[map]
static OUT: Array<u32> = Array::with_max_entries(1, 0);
/// Frames that [`bench_drop`] has dropped.
#[map]
static DROPPED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

const IPV4_CHECKSUM: usize = 24;
const IPV4_SOURCE: usize = 26;
const IPV4_SOURCE_PORT: usize = 34;

#[inline(always)]
fn prepare(context: &XdpContext) -> Option<u32> {
    let (data, end) = (context.data(), context.data_end());
    let remote = next()?;
    let [_, _, _, _, a, b, c, d] = remote.address;
    put(data, end, IPV4_CHECKSUM, remote.checksum)?;
    put(data, end, IPV4_SOURCE, [a, b, c, d])?;
    put(data, end, IPV4_SOURCE_PORT, remote.port)?;
    OUT.get(0).copied()
}

/// Sends the next frame. For `BPF_F_TEST_XDP_LIVE_FRAMES`.
#[xdp]
pub fn bench_send(context: XdpContext) -> u32 {
    let Some(interface) = prepare(&context) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the helper takes numbers only.
    let action = unsafe { bpf_redirect(interface, 0) };
    u32::try_from(action).unwrap_or(xdp_action::XDP_ABORTED)
}

/// Reads both headers, counts and drops.
#[xdp(frags)]
pub fn bench_drop(context: XdpContext) -> u32 {
    let (data, end) = (context.data(), context.data_end());
    if data + 42 > end {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: the bytes were just found to lie inside the frame.
    let (ether_type, protocol) = unsafe { (*((data + 12) as *const u16), *((data + 23) as *const u8)) };
    if ether_type != u16::to_be(0x0800) || protocol != 17 {
        return xdp_action::XDP_PASS;
    }
    if let Some(count) = DROPPED.get_ptr_mut(0) {
        // SAFETY: a per-CPU value, checked for null.
        unsafe { *count += 1 };
    }
    xdp_action::XDP_DROP
}
