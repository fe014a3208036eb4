//! Puts another remote end into the packet for each run. `BPF_PROG_TEST_RUN` on one packet again and again would find
//! everything in the cache.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, xdp_action},
    macros::{classifier, map, xdp},
    maps::{Array, ProgramArray},
    programs::{TcContext, XdpContext},
};

/// A remote end: the last eight bytes of its address (IPv4: the last four) and its port, both as they stand on the
/// wire.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Remote {
    pub(crate) address: [u8; 8],
    pub(crate) port: [u8; 2],
    /// Of the IPv4 header with this source.
    pub(crate) checksum: [u8; 2],
    reserved: [u8; 4],
}

/// The remote ends, in the order in which they are used.
#[map]
static REMOTES: Array<Remote> = Array::with_max_entries(1, 0);
/// Number of the next remote end, and how many there are.
#[map]
static NEXT: Array<[u32; 2]> = Array::with_max_entries(1, 0);
#[map]
static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static TARGET_PLAIN: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static TARGET_TC: ProgramArray = ProgramArray::with_max_entries(1, 0);

const IPV4_SOURCE: usize = 26;
const IPV4_DESTINATION: usize = 30;
const IPV4_PORTS: usize = 34;
const IPV6_SOURCE_END: usize = 30;
const IPV6_DESTINATION_END: usize = 46;
const IPV6_PORTS: usize = 54;
/// `EtherType` of IPv6, the first byte is that of IPv4, too.
const IPV6: u8 = 0xdd;

#[inline(always)]
pub(crate) fn next() -> Option<&'static Remote> {
    let next = NEXT.get_ptr_mut(0)?;
    // SAFETY: a map value, checked for null; the benchmark runs on one CPU at a time.
    let number = unsafe {
        let number = (*next)[0];
        (*next)[0] = if number + 1 < (*next)[1] { number + 1 } else { 0 };
        number
    };
    REMOTES.get(number)
}

#[inline(always)]
pub(crate) fn put<const N: usize>(data: usize, end: usize, at: usize, bytes: [u8; N]) -> Option<()> {
    if data + at + N > end {
        return None;
    }
    // SAFETY: the N bytes were just found to lie inside the frame.
    unsafe { *((data + at) as *mut [u8; N]) = bytes };
    Some(())
}

/// Writes the remote end: as the source, or with `reply` as the destination.
#[inline(always)]
fn rewrite(data: usize, end: usize, reply: bool) -> Option<()> {
    let remote = next()?;
    if data + 14 > end {
        return None;
    }
    // SAFETY: the byte was just found to lie inside the frame.
    let is_v6 = unsafe { *((data + 13) as *const u8) } == IPV6;
    let port = if reply { 2 } else { 0 };
    if is_v6 {
        let at = if reply {
            IPV6_DESTINATION_END
        } else {
            IPV6_SOURCE_END
        };
        put(data, end, at, remote.address)?;
        put(data, end, IPV6_PORTS + port, remote.port)
    } else {
        let at = if reply { IPV4_DESTINATION } else { IPV4_SOURCE };
        let [_, _, _, _, a, b, c, d] = remote.address;
        put(data, end, at, [a, b, c, d])?;
        put(data, end, IPV4_PORTS + port, remote.port)
    }
}

/// Varies what comes in.
#[xdp(frags)]
pub fn bench_shim(context: XdpContext) -> u32 {
    if rewrite(context.data(), context.data_end(), false).is_some() {
        // SAFETY: the benchmark has put a program there, else this returns.
        unsafe { TARGET.tail_call(&context, 0) };
    }
    xdp_action::XDP_ABORTED
}

/// Varies what comes in, for programs that know no frames in several buffers.
#[xdp]
pub fn bench_shim_plain(context: XdpContext) -> u32 {
    if rewrite(context.data(), context.data_end(), false).is_some() {
        // SAFETY: as above.
        unsafe { TARGET_PLAIN.tail_call(&context, 0) };
    }
    xdp_action::XDP_ABORTED
}

/// Varies what goes out.
#[classifier]
pub fn bench_shim_tc(context: TcContext) -> i32 {
    if rewrite(context.data(), context.data_end(), true).is_some() {
        // SAFETY: as above.
        unsafe { TARGET_TC.tail_call(&context, 0) };
    }
    TC_ACT_SHOT
}
