//! The least that any table of flows costs: one cache line of an array, at a place that the packet's ends say. Nothing is
//! compared, so that only the way to the line is left.

use aya_ebpf::{
    bindings::xdp_action,
    macros::{map, xdp},
    maps::Array,
    programs::XdpContext,
};

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line([u64; 8]);

#[map]
static LINES: Array<Line> = Array::with_max_entries(1, 0);

/// Number of lines less one, a power of two less one; set by the loader.
#[unsafe(no_mangle)]
static LINES_MASK: u32 = 0;

const IPV4_SOURCE: usize = 26;
const IPV4_PORTS: usize = 34;
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn line(context: &XdpContext) -> Option<&'static Line> {
    let start = context.data();
    if start + IPV4_PORTS + 2 > context.data_end() {
        return None;
    }
    // SAFETY: the bytes were just found to lie inside the frame; they may lie at any place.
    let (source, port) = unsafe {
        (
            core::ptr::read_unaligned((start + IPV4_SOURCE) as *const u32),
            core::ptr::read_unaligned((start + IPV4_PORTS) as *const u16),
        )
    };
    // SAFETY: a read-only global of this object; volatile, since the loader may change it.
    let mask = unsafe { core::ptr::read_volatile(&raw const LINES_MASK) };
    let hash = (u64::from(source) << 16 | u64::from(port)).wrapping_mul(SPREAD);
    LINES.get((hash >> 32) as u32 & mask)
}

/// Passes everything.
#[xdp(frags)]
pub fn bench_line(context: XdpContext) -> u32 {
    // SAFETY: a map value; volatile, since the compiler would else leave it out.
    match line(&context).map(|line| unsafe { core::ptr::read_volatile(&raw const line.0[0]) }) {
        Some(0) => xdp_action::XDP_PASS,
        _ => xdp_action::XDP_ABORTED,
    }
}
