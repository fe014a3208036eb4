//! What the machine itself adds to a packet's time: a program that does nothing but read the clock, and says for how long
//! it was kept from it. A program of XDP is not preempted, but interrupts come, and a hypervisor stops the processor.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::xdp, programs::XdpContext};

/// Some microseconds of readings.
const READINGS: u32 = 256;

/// Returns the longest time between two readings, in nanoseconds.
#[xdp(frags)]
pub fn bench_pauses(_: XdpContext) -> u32 {
    let mut longest = 0;
    // SAFETY: a helper without arguments.
    let mut before = unsafe { bpf_ktime_get_ns() };
    for _ in 0..READINGS {
        // SAFETY: likewise.
        let now = unsafe { bpf_ktime_get_ns() };
        longest = u64::max(longest, now.wrapping_sub(before));
        before = now;
    }
    u32::try_from(longest).unwrap_or(u32::MAX)
}
